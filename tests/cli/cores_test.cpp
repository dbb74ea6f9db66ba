#include "cli/cores.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <set>
#include <thread>

namespace unroll::app {
namespace {

std::set<int> allowed_processors() {
  cpu_set_t allowed;
  EXPECT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  std::set<int> processors;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (CPU_ISSET(processor, &allowed)) {
      processors.insert(processor);
    }
  }
  return processors;
}

// On a thread of its own, to which alone it applies.
void apart(const std::function<void()>& work) { std::thread(work).join(); }

TEST(Cores, AreSharedOutWithoutOneLeftOrGivenTwice) {
  const auto all = allowed_processors();
  const auto world = static_cast<int64_t>(all.size());
  if (world < 2 || world < sysconf(_SC_NPROCESSORS_ONLN)) {
    GTEST_SKIP() << "takes a machine of two cores, all of them allowed";
  }
  for (const int64_t processes : {int64_t{2}, world}) {
    std::set<int> given;
    for (int64_t rank = 0; rank < processes; ++rank) {
      apart([&] {
        const auto count = keep_to_share_of_cores(rank, processes);
        const auto own = allowed_processors();
        EXPECT_EQ(static_cast<int64_t>(own.size()), count);
        for (const auto processor : own) {
          EXPECT_TRUE(given.insert(processor).second) << processor;
        }
      });
    }
    EXPECT_EQ(given, all);
  }
}

TEST(Cores, AreLeftToAProcessAlone) {
  const auto all = allowed_processors();
  apart([&] {
    EXPECT_EQ(keep_to_share_of_cores(0, 1), 0);
    EXPECT_EQ(keep_to_share_of_cores(0, 0), 0);
    EXPECT_EQ(allowed_processors(), all);
  });
}

TEST(Cores, OfALauncherAreKept) {
  const auto all = allowed_processors();
  if (all.size() < 2) {
    GTEST_SKIP() << "takes two cores";
  }
  apart([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(*all.rbegin(), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(keep_to_share_of_cores(0, 2), 0);
    EXPECT_EQ(allowed_processors(), (std::set<int>{*all.rbegin()}));
  });
}

TEST(Cores, AreOneEachWhereThereAreTooFew) {
  const auto all = allowed_processors();
  apart([&] {
    EXPECT_EQ(keep_to_share_of_cores(1, static_cast<int64_t>(all.size()) + 1), 1);
    EXPECT_EQ(allowed_processors(), all);
  });
}

}  // namespace
}  // namespace unroll::app
