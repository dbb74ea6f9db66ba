#include "unroll/ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <future>
#include <map>
#include <optional>
#include <string>

#include "support/rank_threads.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(Ranks, AProcessAloneIsTheFirstOfOne) {
  const auto ranks = join_ranks({});
  EXPECT_EQ(ranks->rank(), 0);
  EXPECT_EQ(ranks->world(), 1);
  const auto values = torch::tensor({1.0, 2.0});
  ranks->all_reduce(values);
  ranks->broadcast(values);
  EXPECT_TRUE(values.equal(torch::tensor({1.0, 2.0})));
  EXPECT_EQ(ranks->broadcast("said"), "said");
}

TEST(Ranks, AProcessAloneIsAskedAtOnceAndForgetsIt) {
  Ranks ranks;
  ranks.ask(Request::kStop);
  ranks.ask(Request::kSave);
  EXPECT_EQ(ranks.take_asked(), Request::kStop);
  EXPECT_EQ(ranks.take_asked(), Request::kNone);
}

TEST(Ranks, AddUpToTheSameBits) {
  const auto all = torch::randn({3, 1001}, torch::kFloat64);
  std::vector<torch::Tensor> sums(3);
  run_ranks(3, [&](const auto& ranks) {
    auto values = all[ranks->rank()].clone();
    ranks->all_reduce(values);
    sums[ranks->rank()] = values;
  });
  EXPECT_TRUE(sums[0].allclose(all.sum(0)));
  EXPECT_TRUE(sums[1].equal(sums[0]));
  EXPECT_TRUE(sums[2].equal(sums[0]));
}

TEST(Ranks, AddUpSeveralAtATime) {
  run_ranks(2, [](const auto& ranks) {
    const auto ones = torch::ones({10});
    const auto twos = torch::full({100'000}, 2.0, torch::kFloat64);
    const auto wait_for_ones = ranks->start_all_reduce(ones);
    const auto wait_for_twos = ranks->start_all_reduce(twos);
    wait_for_ones();
    wait_for_twos();
    EXPECT_TRUE(ones.eq(2).all().template item<bool>());
    EXPECT_TRUE(twos.eq(4).all().template item<bool>());
  });
}

TEST(Ranks, TakeTheFirstOnesValuesAndText) {
  run_ranks(3, [](const auto& ranks) {
    const auto own = static_cast<double>(ranks->rank());
    const auto values = torch::full({2, 3}, own + 5);
    const auto transposed = torch::full({2, 3}, own + 7).t();
    const auto version = values._version();
    ranks->broadcast(values);
    ranks->broadcast(transposed);
    EXPECT_TRUE(values.eq(5).all().template item<bool>());
    EXPECT_TRUE(transposed.eq(7).all().template item<bool>());
    EXPECT_EQ(values._version() > version, ranks->rank() > 0);
    EXPECT_EQ(ranks->broadcast("from " + std::to_string(ranks->rank())), "from 0");
    EXPECT_EQ(ranks->broadcast(std::string()), "");
  });
}

TEST(Ranks, SayWhenThereIsNoAnswer) {
  std::promise<void> is_over;
  run_ranks(
      2,
      [&](const auto& ranks) {
        ranks->all_reduce(torch::ones({4}));
        if (ranks->rank() == 1) {
          is_over.get_future().wait();
          return;
        }
        EXPECT_EQ(thrown<RankLost>([&] { ranks->all_reduce(torch::ones({4})); }),
                  "no answer from another rank for 1 s: it hangs, or cannot be reached");
        is_over.set_value();
      },
      1);
}

TEST(Ranks, SayWhenAnotherOneIsGone) {
  run_ranks(2, [&](const auto& ranks) {
    ranks->all_reduce(torch::ones({4}));
    if (ranks->rank() == 0) {
      EXPECT_THAT(thrown<RankLost>([&] { ranks->all_reduce(torch::ones({4})); }),
                  MatchesRegex("another rank is gone: .*\\[127.0.0.1\\]:[0-9]+.*"));
    }
  });
}

TEST(Ranks, SayWhereTheOthersDidNotCome) {
  const auto port = free_port();
  EXPECT_THAT(
      thrown<RankLost>([&] { join_ranks({.rank = 1, .world = 2, .port = port, .timeout = 1}); }),
      HasSubstr("2 ranks did not meet at 127.0.0.1:" + std::to_string(port) + " within 1 s"));
}

TEST(Ranks, RefusesWhatCannotBe) {
  EXPECT_THAT(thrown<UsageError>([] { join_ranks({.rank = 2, .world = 2}); }),
              HasSubstr("rank must be <= 1, got 2"));
  EXPECT_THAT(thrown<UsageError>([] { join_ranks({.world = 0}); }),
              HasSubstr("world must be >= 1, got 0"));
  EXPECT_THAT(thrown<UsageError>([] { join_ranks({.world = 2, .timeout = 0}); }),
              HasSubstr("timeout must be > 0"));
}

// Environment variables, put back afterwards.
class RanksOfEnvironment : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
          "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT"}) {
      const char* value = std::getenv(name);
      before_[name] = value == nullptr ? std::optional<std::string>() : value;
      unsetenv(name);
    }
  }
  void TearDown() override {
    for (const auto& [name, value] : before_) {
      value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
    }
  }

  static void set(const std::map<std::string, std::string>& variables) {
    for (const auto& [name, value] : variables) {
      setenv(name.c_str(), value.c_str(), 1);
    }
  }

  std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(RanksOfEnvironment, AreNoneWithoutAWorld) {
  set({{"RANK", "3"}});
  EXPECT_FALSE(ranks_of_environment());
}

TEST_F(RanksOfEnvironment, AreWhatTorchrunSays) {
  set({{"RANK", "3"},
       {"WORLD_SIZE", "4"},
       {"LOCAL_RANK", "1"},
       {"LOCAL_WORLD_SIZE", "2"},
       {"MASTER_ADDR", "node-0"},
       {"MASTER_PORT", "29501"},
       {"TORCHELASTIC_USE_AGENT_STORE", "True"},
       {"TORCHELASTIC_RESTART_COUNT", "2"}});
  const auto ranks = ranks_of_environment();
  ASSERT_TRUE(ranks);
  EXPECT_EQ(ranks->rank, 3);
  EXPECT_EQ(ranks->world, 4);
  EXPECT_EQ(ranks->local_rank, 1);
  EXPECT_EQ(ranks->local_world, 2);
  EXPECT_EQ(ranks->address, "node-0");
  EXPECT_EQ(ranks->port, 29501);
  EXPECT_TRUE(ranks->launcher_listens);
  EXPECT_EQ(ranks->session, "2");
}

TEST_F(RanksOfEnvironment, NeedOneAnother) {
  set({{"WORLD_SIZE", "2"}});
  EXPECT_THAT(thrown<UsageError>([] { ranks_of_environment(); }), HasSubstr("RANK must be set"));
  set({{"RANK", "2"}});
  EXPECT_THAT(thrown<UsageError>([] { ranks_of_environment(); }),
              HasSubstr("RANK must be <= 1, got 2"));
  set({{"RANK", "one"}});
  EXPECT_THAT(thrown<UsageError>([] { ranks_of_environment(); }),
              HasSubstr("RANK must be an integer, got 'one'"));
  set({{"RANK", "1"}, {"MASTER_PORT", "29501"}});
  EXPECT_THAT(thrown<UsageError>([] { ranks_of_environment(); }),
              HasSubstr("MASTER_ADDR must be set"));
}

}  // namespace
}  // namespace unroll
