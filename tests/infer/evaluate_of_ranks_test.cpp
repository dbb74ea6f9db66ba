// Several ranks read a text as one does.
#include <gtest/gtest.h>

#include <memory>
#include <span>

#include "support/in_float64.h"
#include "support/model_configs.h"
#include "support/rank_threads.h"
#include "support/thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/evaluate.h"

namespace unroll {
namespace {

class EvaluateOfRanks : public ::testing::Test {
 protected:
  const InFloat64 in_float64;
  const Corpus corpus = make_corpus(sample_text().substr(0, 15'000));
  const torch::Tensor text = corpus.indices;
  const std::unique_ptr<SequenceModel> net =
      make_model(plain(ModelKind::kConcise, Cell::kLstm, 12), corpus.vocab.size(), torch::kCPU);
};

TEST_F(EvaluateOfRanks, FailsOnAllRanksWhereOneCannotReadItsPart) {
  run_ranks(2, [&](const auto& ranks) {
    const SurpriseCallback refuse = [&](int64_t, std::span<const float>) {
      if (ranks->rank() == 1) {
        throw Error("no further");
      }
    };
    EXPECT_EQ(
        thrown<Error>([&] { evaluate(*net, text, {.ranks = ranks}, refuse); }),
        ranks->rank() == 1 ? "no further" : "another rank cannot go on with its part of the text");
  });
}

TEST_F(EvaluateOfRanks, ReadsAValidationTextTogether) {
  const auto alone = evaluate(*net, text);
  ASSERT_EQ(alone.rows, 3);
  for (const int64_t world : {2, 5}) {  // of 5 two have no row
    run_ranks(world, [&](const auto& ranks) {
      const auto together = evaluate(*net, text, {.ranks = ranks});
      EXPECT_NEAR(together.nats, alone.nats, 1e-6);
      EXPECT_EQ(together.tokens, alone.tokens);
      EXPECT_EQ(together.unknown, alone.unknown);
    });
  }
}

}  // namespace
}  // namespace unroll
