#include "unroll/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/fields.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/evaluate.h"
#include "unroll/generate.h"
#include "unroll/optim.h"
#include "unroll/seq_data.h"
#include "unroll/study.h"
#include "unroll/text.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;

enum class Colour { kRed, kGreen, kBlue };
constexpr auto enum_names(Colour) {
  return enum_table<Colour>(
      "colour", {{Colour::kRed, "red"}, {Colour::kGreen, "green"}, {Colour::kBlue, "blue"}});
}

TEST(EnumNames, AreReadAsTheyAreWritten) {
  for (const auto colour : {Colour::kRed, Colour::kGreen, Colour::kBlue}) {
    EXPECT_EQ(parse_enum<Colour>(to_string(colour)), colour);
  }
  static_assert(to_string(Colour::kGreen) == "green");
  EXPECT_EQ(to_string(static_cast<Colour>(3)), "?");
}

TEST(EnumNames, AnUnknownNameIsAnsweredWithAllOfThem) {
  for (const std::string name : {"", "RED", "red ", "re"}) {
    EXPECT_EQ(thrown<UsageError>([&] { parse_enum<Colour>(name); }),
              "colour must be red, green or blue, got '" + name + "'");
  }
}

// No two values of a table share a name, and none is missing before the last.
template <typename Enum>
void expect_a_whole_table() {
  constexpr auto kTable = enum_names(Enum{});
  SCOPED_TRACE(kTable.what);
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kTable.names.size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(kTable.names[i].first), i);
    names.insert(kTable.names[i].second);
    EXPECT_EQ(parse_enum<Enum>(kTable.names[i].second), kTable.names[i].first);
  }
  EXPECT_EQ(names.size(), kTable.names.size());
}

TEST(EnumNames, OfOptionsAreWhole) {
  expect_a_whole_table<ModelKind>();
  expect_a_whole_table<Cell>();
  expect_a_whole_table<GruReset>();
  expect_a_whole_table<Backend>();
  expect_a_whole_table<Precision>();
  expect_a_whole_table<GraphMode>();
  expect_a_whole_table<Optimizer>();
  expect_a_whole_table<Schedule>();
  expect_a_whole_table<OnNonfinite>();
  expect_a_whole_table<Sampling>();
  expect_a_whole_table<TokenKind>();
  expect_a_whole_table<Normalize>();
  expect_a_whole_table<InvalidUtf8>();
  expect_a_whole_table<UnknownTokens>();
}

template <typename T>
std::string refusal(T value, const OptionRange& range) {
  return thrown<UsageError>([&] { require_in("x", value, range); });
}

TEST(OptionRange, BoundsThatAreTakenArePartOfIt) {
  EXPECT_NO_THROW(require_in("x", int64_t{1}, at_least(1)));
  EXPECT_NO_THROW(require_in("x", 1.0, from_to(1, 2)));
  EXPECT_NO_THROW(require_in("x", 2.0, from_to(1, 2)));
  EXPECT_NO_THROW(require_in("x", 1.0, from_to_below(1, 2)));
  EXPECT_NO_THROW(require_in("x", 2.0, above_to(1, 2)));
  EXPECT_NO_THROW(require_in("x", 1.5, between(1, 2)));
  EXPECT_NO_THROW(require_in("x", std::numeric_limits<int64_t>::min(), OptionRange{}));
}

TEST(OptionRange, MessagesNameTheNumberAndItsBounds) {
  EXPECT_EQ(refusal(int64_t{0}, at_least(1)), "x must be >= 1, got 0");
  EXPECT_EQ(refusal(-0.5, at_least(0)), "x must be >= 0, got -0.5");
  EXPECT_EQ(refusal(-1.0, at_least(0, "0 is off")), "x must be >= 0 (0 is off), got -1");
  EXPECT_EQ(refusal(int64_t{0}, from_to(1, 8)), "x must be >= 1, got 0");
  EXPECT_EQ(refusal(int64_t{9}, from_to(1, 8)), "x must be <= 8, got 9");
  EXPECT_EQ(refusal(2.5, from_to(1, 2)), "x must be from 1 to 2, got 2.5");
  EXPECT_EQ(refusal(1.0, from_to_below(0, 1)), "x must be from 0 to below 1, got 1");
  EXPECT_EQ(refusal(0.0, above_to(0, 4)), "x must be > 0 and at most 4, got 0");
  EXPECT_EQ(refusal(5.0, above_to(0, 4)), "x must be > 0 and at most 4, got 5");
  EXPECT_EQ(refusal(0.0, between(0, 1)), "x must be between 0 and 1, got 0");
  EXPECT_EQ(refusal(1.0, between(0, 1)), "x must be between 0 and 1, got 1");
}

TEST(OptionRange, TakesNumbersAlone) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(refusal(kInfinity, at_least(0)), "x must be a finite number, got inf");
  for (const auto& range :
       {at_least(0), from_to(0, 1), above_to(0, 1), between(0, 1), OptionRange{}}) {
    for (const double value : {kInfinity, -kInfinity, std::nan("")}) {
      thrown<UsageError>([&] { require_in("x", value, range); });
    }
  }
}

struct Knobs {
  int64_t count = 2;
  double share = 0.5;
  std::optional<double> decay = {};
  Colour colour = Colour::kRed;
  std::optional<Colour> other = {};
  std::string text = "some";
  std::vector<std::string> texts = {};

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.count, {"count", "N", "how many", from_to(1, 8)});
    visit(self.share, {"share", "X", "which part", between(0, 1)});
    visit(self.decay, {"the-decay", "X", "how fast", at_least(0)});
    visit(self.colour, {"colour", "NAME", "which"});
    visit(self.other, {"other", "NAME", "or which"});
    visit(self.text, {"text", "TEXT", "a text"});
    visit(self.texts, {"texts", "TEXT", "texts"});
  }
};

TEST(CheckRanges, EachNumberOfAStructLiesInItsRange) {
  EXPECT_NO_THROW(check_ranges(Knobs{}));
  EXPECT_NO_THROW(check_ranges(Knobs{.count = 8, .decay = 0}));
  EXPECT_EQ(thrown<UsageError>([] { check_ranges(Knobs{.count = 9}); }),
            "count must be <= 8, got 9");
  EXPECT_EQ(thrown<UsageError>([] { check_ranges(Knobs{.share = 1}); }),
            "share must be between 0 and 1, got 1");
  EXPECT_EQ(thrown<UsageError>([] { check_ranges(Knobs{.decay = -1}); }),
            "the-decay must be >= 0, got -1");
}

TEST(CheckRanges, TheFirstFieldOutOfRangeIsReported) {
  EXPECT_EQ(thrown<UsageError>([] { check_ranges(Knobs{.count = 0, .share = 7}); }),
            "count must be >= 1, got 0");
}

// Its fields, in their order.
template <typename Options>
std::vector<std::string> field_names() {
  std::vector<std::string> names;
  Options options;
  Options::fields(options, [&](auto&, const Field& field) { names.emplace_back(field.name); });
  return names;
}

TEST(Fields, AreVisitedInTheirOrder) {
  EXPECT_THAT(field_names<Knobs>(),
              ElementsAre("count", "share", "the-decay", "colour", "other", "text", "texts"));
}

template <typename T>
T parsed(std::string_view text) {
  T value{};
  parse_value("x", text, value);
  return value;
}

template <typename T>
std::string parse_refusal(std::string_view text) {
  return thrown<UsageError>([&] { parsed<T>(text); });
}

TEST(ParseValue, ReadsEachType) {
  EXPECT_EQ(parsed<int64_t>("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(parsed<uint64_t>("18446744073709551615"), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(parsed<double>("1e-3"), 0.001);
  EXPECT_EQ(parsed<Colour>("blue"), Colour::kBlue);
  EXPECT_EQ(parsed<std::string>(" as it is "), " as it is ");
  EXPECT_EQ(parsed<std::optional<double>>("0.25"), 0.25);
  EXPECT_EQ(parsed<std::optional<Colour>>("green"), Colour::kGreen);
}

TEST(ParseValue, AnythingElseIsNamed) {
  for (const std::string text : {"", "x", "1x", " 1", "1.5", "+1", "9223372036854775808"}) {
    EXPECT_EQ(parse_refusal<int64_t>(text), "x must be an integer, got '" + text + "'");
  }
  for (const std::string text : {"", "x", "1x", " 1", "0x1", "1e999"}) {
    EXPECT_EQ(parse_refusal<double>(text), "x must be a number, got '" + text + "'");
  }
  EXPECT_EQ(parse_refusal<uint64_t>("-1"), "x must be >= 0, got -1");
  EXPECT_EQ(parse_refusal<uint64_t>("one"), "x must be an integer, got 'one'");
  EXPECT_EQ(parse_refusal<std::optional<int64_t>>("x"), "x must be an integer, got 'x'");
  EXPECT_EQ(parse_refusal<Colour>("pink"), "colour must be red, green or blue, got 'pink'");
}

// That parse_value reads back what to_text writes, for each field of a struct.
template <typename Options>
void expect_texts_are_read_back(const Options& options) {
  Options::fields(options, [](const auto& value, const Field& field) {
    using T = std::remove_cvref_t<decltype(value)>;
    if constexpr (!kIsList<T>) {
      const auto text = to_text(value);
      if constexpr (kIsOptional<T>) {
        EXPECT_EQ(text.empty(), !value.has_value()) << field.name;
        if (!value) {
          return;
        }
      }
      T read{};
      parse_value(field.name, text, read);
      EXPECT_EQ(read, value) << field.name;
    }
  });
}

TEST(ToText, IsReadBack) {
  expect_texts_are_read_back(Knobs{});
  expect_texts_are_read_back(Knobs{.count = -3,
                                   .share = 0.1 + 0.2,
                                   .decay = 1e-300,
                                   .colour = Colour::kBlue,
                                   .other = Colour::kGreen,
                                   .text = ""});
  expect_texts_are_read_back(
      ModelConfig{.model = ModelKind::kConcise, .layers = 2, .dropout = 0.3});
  expect_texts_are_read_back(Compute{});
  expect_texts_are_read_back(TrainOptions{});
  expect_texts_are_read_back(DataOptions{});
  expect_texts_are_read_back(CorpusOptions{});
  expect_texts_are_read_back(GenerateOptions{});
}

// The defaults lie in the ranges, each field has a name of lower case and its own, and a help.
template <typename Options>
void expect_a_sound_list() {
  Options options;
  EXPECT_NO_THROW(check_ranges(options));
  std::set<std::string_view> names;
  Options::fields(options, [&](auto&, const Field& field) {
    SCOPED_TRACE(field.name);
    EXPECT_TRUE(names.insert(field.name).second);
    EXPECT_EQ(field.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"),
              std::string_view::npos);
    EXPECT_FALSE(field.help.empty());
    EXPECT_LE(field.range.least, field.range.most);
  });
  EXPECT_FALSE(names.empty());
}

TEST(Fields, OfEachOptionsStructAreSound) {
  expect_a_sound_list<Knobs>();
  expect_a_sound_list<ModelConfig>();
  expect_a_sound_list<Compute>();
  expect_a_sound_list<UpdaterOptions>();
  expect_a_sound_list<ScheduleOptions>();
  expect_a_sound_list<StepOptions>();
  expect_a_sound_list<TrainOptions>();
  expect_a_sound_list<DataOptions>();
  expect_a_sound_list<TextOptions>();
  expect_a_sound_list<CorpusOptions>();
  expect_a_sound_list<GenerateOptions>();
  expect_a_sound_list<EvaluateOptions>();
  expect_a_sound_list<BenchOptions>();
}

}  // namespace
}  // namespace unroll
