#include <gtest/gtest.h>

#include "support/temp_folder.h"
#include "unroll/notebook.h"
#include "unroll/seq_data.h"

namespace unroll {
namespace {

TEST(LoadDataTimeMachine, IsTheNotebooks) {
  const TempFolder folder;
  const auto file = folder.write("text.txt", "The Time\nMachine, by H. G. Wells");
  const auto [sequential, vocab] = load_data_time_machine(file, 2, 3);
  EXPECT_EQ(sequential.num_tokens(), 28);
  EXPECT_TRUE(sequential.epoch(0).carries_state());
  EXPECT_EQ(vocab.to_token(1), " ");
  const auto [random, same_vocab] = load_data_time_machine(file, 2, 3, true, 10);
  EXPECT_EQ(random.num_tokens(), 10);
  EXPECT_EQ(random.options().sampling, Sampling::kRandom);
  EXPECT_EQ(same_vocab.tokens(), vocab.tokens());
}

}  // namespace
}  // namespace unroll
