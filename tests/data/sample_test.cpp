#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "support/temp_folder.h"
#include "unroll/corpus.h"

namespace unroll {
namespace {

TEST(Sample, IsTheFileInData) {
  EXPECT_EQ(sample_text(), content_of(std::string(UNROLL_DATA_DIR) + "/sample.txt"));
}

TEST(Sample, IsEnoughToLearnFrom) {
  const auto corpus = make_corpus(sample_text(), {.max_tokens = 0});
  EXPECT_GE(corpus.size(), 30000);
  EXPECT_EQ(corpus.vocab.size(), 28);
}

}  // namespace
}  // namespace unroll
