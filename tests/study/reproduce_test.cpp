#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"
#include "unroll/study.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(PublishedResults, AreTheChaptersEightRows) {
  std::set<std::string_view> names;
  for (const auto& row : published_results()) {
    names.insert(row.name);
    check(row.config);
    EXPECT_LE(row.perplexity[0], row.perplexity[1]);
    EXPECT_LT(row.tokens_per_second[0], row.tokens_per_second[1]);
    EXPECT_LT(row.tokens_per_second[1], row.tokens_per_second[2]);
  }
  EXPECT_EQ(names.size(), 8U);
  const auto last = published_results({"lstm-concise-2-layers"}).front();
  EXPECT_EQ(last.config.layers, 2);
  EXPECT_EQ(last.lr, 2);
  EXPECT_EQ(published_results({"rnn-scratch-reset"}).front().sampling, Sampling::kSequentialReset);
  EXPECT_THAT(thrown<UsageError>([] { published_results({"rnn"}); }),
              HasSubstr("row must be rnn-scratch, "));
}

TEST(Reproduce, RefusesWhatItCannotDo) {
  const TempFolder folder;
  const auto text = folder.write("text.txt", "The Time Machine, by H. G. Wells [1898]\n");
  const auto kept = folder / "kept";
  EXPECT_THAT(thrown<Error>([&] { reproduce(text, kept, torch::kCPU); }),
              HasSubstr("text.txt: is not The Time Machine"));
  EXPECT_FALSE(std::filesystem::exists(kept));
  thrown<UsageError>([&] { reproduce(text, kept, torch::kCPU, {.rows = {"x"}}); });
  thrown<UsageError>([&] { reproduce(text, kept, torch::kCPU, {.epochs = 0}); });
}

class ReproduceTheTimeMachine : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(text_)) {
      GTEST_SKIP() << text_ << " is not there: scripts/fetch_time_machine gets it";
    }
  }

  std::vector<Reproduction> run(const ReproduceOptions& options, const std::string& name,
                                const ReproduceCallbacks& callbacks = {}) {
    return reproduce(text_, folder_ / name, torch::kCPU, options, callbacks);
  }

  const std::filesystem::path text_ = std::filesystem::path(UNROLL_DATA_DIR) / "timemachine.txt";
  const TempFolder folder_;
  const ReproduceOptions options_{.rows = {"rnn-concise"}, .epochs = 2, .seeds = 2};
};

TEST_F(ReproduceTheTimeMachine, AStoppedRunEndsAsOneThatWasNot) {
  const auto whole = run(options_, "whole");
  ASSERT_EQ(whole.size(), 1U);
  ASSERT_EQ(whole[0].trainings.size(), 2U);
  EXPECT_NE(whole[0].trainings[0].perplexity(), whole[0].trainings[1].perplexity());
  EXPECT_EQ(whole[0].verdict(), Verdict::kNotYet);

  // In the second seed's second epoch.
  int64_t batches_left = 12;
  const auto stop = [&](const PublishedResult&, uint64_t seed, const auto&) {
    TrainCallbacks callbacks;
    callbacks.on_batch = [&, seed](const TrainProgress&, int64_t) {
      if (seed == 1 && --batches_left == 0) {
        throw std::runtime_error("stopped");
      }
    };
    return callbacks;
  };
  EXPECT_THROW(run(options_, "stopped", stop), std::runtime_error);
  const auto kept = load_checkpoint(folder_ / "stopped" / "rnn-concise.seed1.safetensors");
  EXPECT_EQ(kept.epochs, 1);
  EXPECT_EQ(kept.training->state.progress.batch, 4);

  int64_t trained = 0;
  std::vector<std::size_t> epochs_before;
  const auto count = [&](const PublishedResult&, uint64_t, const auto& history) {
    epochs_before.push_back(history.size());
    TrainCallbacks callbacks;
    callbacks.on_batch = [&](const TrainProgress&, int64_t) { ++trained; };
    return callbacks;
  };
  const auto continued = run(options_, "stopped", count);
  EXPECT_EQ(trained, 4);
  EXPECT_THAT(epochs_before, ElementsAre(2, 1));
  for (std::size_t seed = 0; seed < 2; ++seed) {
    EXPECT_EQ(continued[0].trainings[seed].perplexity(), whole[0].trainings[seed].perplexity());
    EXPECT_EQ(continued[0].trainings[seed].result.predictions,
              whole[0].trainings[seed].result.predictions);
  }
}

TEST_F(ReproduceTheTimeMachine, ACheckpointOfAnotherTrainingIsRefused) {
  run({.rows = {"rnn-concise"}, .epochs = 1}, "kept");
  const auto kept = folder_ / "kept";
  std::filesystem::rename(kept / "rnn-concise.seed0.safetensors",
                          kept / "gru-concise.seed0.safetensors");
  EXPECT_THAT(thrown<Error>([&] { run({.rows = {"gru-concise"}, .epochs = 1}, "kept"); }),
              HasSubstr("gru-concise.seed0.safetensors: is not of this training"));
  run({.rows = {"rnn-concise"}, .epochs = 1}, "kept");
  EXPECT_THAT(thrown<Error>([&] {
                run({.rows = {"rnn-concise"}, .epochs = 2, .compute = {.backend = Backend::kPlain}},
                    "kept");
              }),
              HasSubstr("computed otherwise"));
}

}  // namespace
}  // namespace unroll
