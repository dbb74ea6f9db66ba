#include "study/text_survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support/temp_folder.h"

namespace unroll {
namespace {

TEST(TextSurvey, CountsCharactersAndLinesHoweverTheyEnd) {
  const TempFolder folder;
  const auto survey = survey_text({folder.write("text", "caf\xc3\xa9\r\n\rthe \xe4\xb8\xad\n\nx")});
  EXPECT_EQ(survey.bytes, 18);
  EXPECT_EQ(survey.characters, 15);
  EXPECT_EQ(survey.lines, 5);
  EXPECT_EQ(survey.longest_line, 5);
  EXPECT_EQ(survey.ill_formed + survey.nuls, 0);
}

TEST(TextSurvey, NamesTheFirstBytesThatAreNoCharacters) {
  const TempFolder folder;
  const auto first =
      folder.write("first", std::string("a\n\xff\0b\xe4\xb8", 7));  // ends within a character
  const auto second = folder.write("second",
                                   "one\r\ntwo\rthr\xe9"
                                   "e\xff\xff\xff");
  const auto survey = survey_text({first, second});
  EXPECT_EQ(survey.ill_formed, 6);
  EXPECT_EQ(survey.nuls, 1);
  ASSERT_EQ(survey.places.size(), 5U);
  const auto expect_at = [&](std::size_t i, const std::string& file, int64_t line, int64_t offset,
                             int byte) {
    const auto& place = survey.places[i];
    EXPECT_EQ(place.file, file);
    EXPECT_EQ(place.line, line);
    EXPECT_EQ(place.offset, offset);
    EXPECT_EQ(place.byte, byte);
  };
  expect_at(0, first.string(), 2, 2, 0xff);
  expect_at(1, first.string(), 2, 3, 0);
  expect_at(2, first.string(), 2, 5, 0xe4);
  expect_at(3, second.string(), 3, 12, 0xe9);
  expect_at(4, second.string(), 3, 14, 0xff);
}

TEST(TextSurvey, IsTheSameWhereverABlockEnds) {
  const TempFolder folder;
  constexpr std::size_t kBlock = std::size_t{1} << 18;
  for (std::size_t shift = 0; shift < 5; ++shift) {
    const std::string pad(kBlock - 4 + shift, 'a');
    const auto survey = survey_text({folder.write("long", pad + "\xe4\xb8\xad\r\nb")});
    EXPECT_EQ(survey.characters, static_cast<int64_t>(pad.size()) + 4);
    EXPECT_EQ(survey.lines, 2);
    EXPECT_EQ(survey.longest_line, static_cast<int64_t>(pad.size()) + 1);
    EXPECT_EQ(survey.ill_formed, 0);
  }
}

}  // namespace
}  // namespace unroll
