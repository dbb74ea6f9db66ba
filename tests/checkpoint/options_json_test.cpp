#include "checkpoint/options_json.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "unroll/compute.h"
#include "unroll/corpus.h"
#include "unroll/evaluate.h"
#include "unroll/generate.h"
#include "unroll/optim.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"

namespace unroll {
namespace {

// Another value of the same type, which no field has by default.
template <typename T>
T other_than(const T& value) {
  if constexpr (kIsOptional<T>) {
    return other_than(value.value_or(typename T::value_type{}));
  } else if constexpr (NamedEnum<T>) {
    const auto& names = enum_names(value).names;
    return names.back().first == value ? names.front().first : names.back().first;
  } else if constexpr (kIsList<T>) {
    return {"a \"b\"", "", "caf\xc3\xa9"};
  } else if constexpr (std::is_unsigned_v<T>) {
    return ~T{0} - value;
  } else if constexpr (std::is_integral_v<T>) {
    return (T{1} << 53) + 1 + value;  // no double has it
  } else {
    return value + T{1} / 3;
  }
}

template <typename Options>
class OptionsJson : public ::testing::Test {
 protected:
  // All fields with other values than by default.
  static Options changed() {
    Options options;
    Options::fields(options, [](auto& value, const Field&) { value = other_than(value); });
    return options;
  }
  static std::vector<std::string> keys() {
    std::vector<std::string> keys;
    const Options options;
    Options::fields(options,
                    [&](const auto&, const Field& field) { keys.push_back(json_key(field.name)); });
    return keys;
  }
  static nlohmann::json written(const Options& options) {
    return nlohmann::json::parse(to_json(options).dump());
  }
};

using AllOptions =
    ::testing::Types<ModelConfig, Compute, TextOptions, CorpusOptions, DataOptions, UpdaterOptions,
                     StepOptions, ScheduleOptions, TrainOptions, EvaluateOptions, GenerateOptions>;
TYPED_TEST_SUITE(OptionsJson, AllOptions);

TYPED_TEST(OptionsJson, HasEachFieldThatHasAValue) {
  const auto json = this->written(this->changed());
  const auto by_default = this->written({});
  EXPECT_EQ(json.size(), this->keys().size());
  for (const auto& key : this->keys()) {
    ASSERT_TRUE(json.contains(key)) << key;
    EXPECT_TRUE(!by_default.contains(key) || by_default[key] != json[key]) << key;
  }
}

TYPED_TEST(OptionsJson, EachFieldIsReadBackAsItWasWritten) {
  const auto json = this->written(this->changed());
  TypeParam options;
  read_json(json, options);
  EXPECT_EQ(this->written(options), json);
  // Each by itself: another one's key does not stand for it.
  for (const auto& key : this->keys()) {
    TypeParam one;
    read_json(nlohmann::json::object({{key, json.at(key)}}), one);
    auto expected = this->written({});
    expected[key] = json.at(key);
    EXPECT_EQ(this->written(one), expected) << key;
  }
}

TYPED_TEST(OptionsJson, AFieldWithoutItsKeyStays) {
  auto options = this->changed();
  read_json(nlohmann::json::object(), options);
  EXPECT_EQ(this->written(options), this->written(this->changed()));
}

TYPED_TEST(OptionsJson, AValueOfAnotherTypeIsAnError) {
  for (const auto& key : this->keys()) {
    for (const auto& value : {nlohmann::json::object(), nlohmann::json(nullptr)}) {
      TypeParam options;
      EXPECT_ANY_THROW(read_json(nlohmann::json::object({{key, value}}), options))
          << key << " " << value;
    }
  }
}

TYPED_TEST(OptionsJson, AnIntegerIsOneAndInRange) {
  TypeParam options;
  TypeParam::fields(options, [](const auto& value, const Field& field) {
    using T = typename OptionalTraits<std::remove_cvref_t<decltype(value)>>::Value;
    if constexpr (std::is_integral_v<T>) {
      for (const char* number : {"1.5", "1e30", "true", "\"1\"", "18446744073709551616"}) {
        TypeParam one;
        EXPECT_ANY_THROW(read_json(
            nlohmann::json::object({{json_key(field.name), nlohmann::json::parse(number)}}), one))
            << field.name << " " << number;
      }
    }
  });
}

}  // namespace
}  // namespace unroll
