#pragma once

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/abridged.h"
#include "base/fields.h"
#include "base/formatted.h"
#include "unroll/error.h"
#include "unroll/options.h"

// Options structs as JSON objects, by the lists of their fields: the keys are the command line's
// names, `_` for `-`. What is read keeps no order: ordered_json looks through all keys for each,
// and a file may have many.

namespace unroll {

/// `batch-size` -> `batch_size`
inline std::string json_key(std::string_view name) {
  std::string key(name);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

/// Whether a number has no fraction and fits into T, whatever the JSON library would make of it.
template <typename T>
bool is_integer(const nlohmann::json& value) {
  return value.is_number_unsigned()
             ? std::in_range<T>(value.get<uint64_t>())
             : value.is_number_integer() && std::in_range<T>(value.get<int64_t>());
}

inline bool is_list_of_texts(const nlohmann::json& value) {
  return value.is_array() &&
         std::all_of(value.begin(), value.end(), [](const auto& one) { return one.is_string(); });
}

/// The integer of this key. Throws Json::exception or Error when it is not one from `least` to
/// `most`.
template <typename T = int64_t>
T integer_at(const nlohmann::json& json, const std::string& key,
             T least = std::numeric_limits<T>::min(), T most = std::numeric_limits<T>::max()) {
  const auto& value = json.at(key);
  if (!is_integer<T>(value) || value.get<T>() < least || value.get<T>() > most) {
    throw Error(formatted("{} must be an integer from {} to {}, got {}", key, least, most,
                          abridged(value.dump())));
  }
  return value.get<T>();
}

/// What a field's key holds: `one of rnn, gru, lstm`.
template <typename T>
std::string expected_value() {
  using Value = typename OptionalTraits<T>::Value;
  if constexpr (NamedEnum<Value>) {
    return formatted("one of {}", names_of<Value>());
  } else if constexpr (std::is_integral_v<Value>) {
    return "an integer";
  } else if constexpr (std::is_floating_point_v<Value>) {
    return "a number";
  } else {
    return "a list of texts";
  }
}

/// The keys of all fields.
template <typename Options>
std::set<std::string> keys_of() {
  std::set<std::string> keys;
  const Options options;
  Options::fields(options,
                  [&](const auto&, const Field& field) { keys.insert(json_key(field.name)); });
  return keys;
}

/// Throws Error unless the object has these of the fields: `'hidden' is missing, expected an
/// integer: hidden units of a layer`.
template <typename Options>
void require_fields(const nlohmann::json& json, std::initializer_list<std::string_view> names) {
  const Options options;
  Options::fields(options, [&](const auto& value, const Field& field) {
    using T = std::remove_cvref_t<decltype(value)>;
    const bool is_needed = std::find(names.begin(), names.end(), field.name) != names.end();
    if (is_needed && !json.contains(json_key(field.name))) {
      const bool is_named = NamedEnum<typename OptionalTraits<T>::Value>;
      throw Error(formatted("'{}' is missing, expected {}{}{}", json_key(field.name),
                            expected_value<T>(), is_named ? "" : ": ", is_named ? "" : field.help));
    }
  });
}

/// Throws Error for a key that is none of the known ones.
inline void require_known_keys(const nlohmann::json& json, const std::set<std::string>& known,
                               std::string_view what) {
  for (const auto& [key, value] : json.items()) {
    if (!known.contains(key)) {
      throw Error(formatted("{} has the unknown key '{}'", what, abridged(key)));
    }
  }
}

/// All fields that have a value.
template <typename Options>
nlohmann::ordered_json to_json(const Options& options) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  Options::fields(options, [&](const auto& value, const Field& field) {
    using T = std::remove_cvref_t<decltype(value)>;
    const auto put = [&](const auto& one) {
      if constexpr (NamedEnum<std::remove_cvref_t<decltype(one)>>) {
        json[json_key(field.name)] = to_string(one);
      } else {
        json[json_key(field.name)] = one;
      }
    };
    if constexpr (kIsOptional<T>) {
      if (value) {
        put(*value);
      }
    } else {
      put(value);
    }
  });
  return json;
}

/// Sets the fields whose keys the object has. Throws Error for a value that is none; ranges are the
/// caller's to check.
template <typename Options>
void read_json(const nlohmann::json& json, Options& options) {
  Options::fields(options, [&](auto& value, const Field& field) {
    const auto key = json_key(field.name);
    if (!json.contains(key)) {
      return;
    }
    using T = typename OptionalTraits<std::remove_cvref_t<decltype(value)>>::Value;
    const auto& read = json.at(key);
    if constexpr (std::is_integral_v<T>) {
      value = integer_at<T>(json, key);
      return;
    }
    const bool fits = NamedEnum<T>                  ? read.is_string()
                      : std::is_floating_point_v<T> ? read.is_number()
                                                    : is_list_of_texts(read);
    if (!fits) {
      throw Error(
          formatted("{} must be {}, got {}", key, expected_value<T>(), abridged(read.dump())));
    }
    if constexpr (NamedEnum<T>) {
      value = parse_enum<T>(read.template get_ref<const std::string&>());
    } else {
      value = read.template get<T>();
    }
  });
}

}  // namespace unroll
