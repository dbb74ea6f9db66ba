#pragma once

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
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

/// Sets the fields whose keys the object has. Throws Json::exception or Error for a value that is
/// none; ranges are the caller's to check.
template <typename Options>
void read_json(const nlohmann::json& json, Options& options) {
  Options::fields(options, [&](auto& value, const Field& field) {
    const auto key = json_key(field.name);
    if (!json.contains(key)) {
      return;
    }
    using T = typename OptionalTraits<std::remove_cvref_t<decltype(value)>>::Value;
    if constexpr (NamedEnum<T>) {
      value = parse_enum<T>(json.at(key).template get_ref<const std::string&>());
    } else if constexpr (std::is_integral_v<T>) {
      value = integer_at<T>(json, key);
    } else {
      value = json.at(key).template get<T>();
    }
  });
}

}  // namespace unroll
