#include "unroll/ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <future>
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

TEST(Ranks, CannotMeetWhereThereIsNoSuchNetwork) {
  EXPECT_THAT(thrown<Error>([] {
                join_ranks({.rank = 1, .world = 2, .port = free_port(), .interface = "none0"});
              }),
              HasSubstr(": there is no network interface none0"));
}

TEST(Ranks, CannotBeReachedAtALoopbackAddressByOtherMachines) {
  EXPECT_THAT(thrown<Error>([] {
                join_ranks({.rank = 1, .world = 2, .local_world = 1, .port = free_port()});
              }),
              HasSubstr("127.0.0.1 is 127.0.0.1 here, which other machines cannot reach"));
}

TEST(Ranks, SayWhereTheOthersDidNotCome) {
  const auto port = free_port();
  EXPECT_THAT(
      thrown<RankLost>([&] { join_ranks({.rank = 1, .world = 2, .port = port, .timeout = 1}); }),
      HasSubstr("2 ranks did not meet at 127.0.0.1:" + std::to_string(port) + " within 1 s"));
}

// Sockets of this process that wait for connections.
int listening_sockets() {
  int count = 0;
  for (int socket = 0; socket < 1024; ++socket) {
    int listens = 0;
    socklen_t size = sizeof listens;
    count +=
        getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0 ? 1 : 0;
  }
  return count;
}

// Its port would be any that is free: also that where the first one is about to listen.
TEST(Ranks, ListenForOthersOnlyWhenTheyHaveMet) {
  const auto port = free_port();
  const auto before = listening_sockets();
  auto waiting = std::async(std::launch::async, [&] {
    thrown<RankLost>([&] { join_ranks({.rank = 1, .world = 2, .port = port, .timeout = 1}); });
  });
  int most = before;
  while (waiting.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) {
    most = std::max(most, listening_sockets());
  }
  EXPECT_EQ(most, before);
}

TEST(Ranks, RefusesWhatCannotBe) {
  EXPECT_THAT(thrown<UsageError>([] { join_ranks({.rank = 2, .world = 2}); }),
              HasSubstr("rank must be <= 1, got 2"));
  EXPECT_THAT(thrown<UsageError>([] { join_ranks({.world = 0}); }),
              HasSubstr("world must be >= 1, got 0"));
  EXPECT_THAT(thrown<UsageError>([] { join_ranks({.world = 2, .timeout = 0}); }),
              HasSubstr("timeout must be > 0"));
}

}  // namespace
}  // namespace unroll
