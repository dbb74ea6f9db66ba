#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/optim.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

// Of a step of a tenth of an epoch, in a training of ten epochs at 0.8.
double rate(const ScheduleOptions& options, double done, const Best& best = {}) {
  return learning_rate(options, 0.8, done, 0.1, 10, best);
}

TEST(Schedule, NamesAreParsedBack) {
  for (const auto schedule : {Schedule::kConstant, Schedule::kCosine, Schedule::kPlateau}) {
    EXPECT_EQ(parse_enum<Schedule>(to_string(schedule)), schedule);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<Schedule>("linear"); }), HasSubstr("'linear'"));
}

TEST(Schedule, ConstantIsTheLearningRateItself) {
  for (const double done : {0.0, 0.1, 5.0, 9.9, 20.0}) {
    EXPECT_EQ(rate({}, done), 0.8);
  }
}

TEST(Schedule, WarmUpRisesInAStraightLineAndThenIsOver) {
  const ScheduleOptions options{.warmup = 2};
  EXPECT_NEAR(rate(options, 0), 0.8 * 0.1 / 2, 1e-15);
  EXPECT_NEAR(rate(options, 0.9), 0.8 * 1.0 / 2, 1e-15);
  EXPECT_EQ(rate(options, 1.9), 0.8);
  EXPECT_EQ(rate(options, 7), 0.8);
}

TEST(Schedule, CosineFallsFromTheLearningRateToTheLeast) {
  const ScheduleOptions options{.schedule = Schedule::kCosine, .warmup = 2, .min_lr = 0.2};
  EXPECT_EQ(rate(options, 2), 0.8);
  EXPECT_NEAR(rate(options, 6), 0.5, 1e-15);
  EXPECT_NEAR(rate(options, 4), 0.2 + 0.6 * (1 + std::sqrt(0.5)) / 2, 1e-15);
  EXPECT_NEAR(rate(options, 10), 0.2, 1e-15);
  EXPECT_NEAR(rate(options, 11), 0.2, 1e-15);
  double last = rate(options, 2);
  for (double done = 2.1; done < 10; done += 0.1) {
    EXPECT_LT(rate(options, done), last);
    last = rate(options, done);
  }
  // Nothing is left of a training that is all warm-up.
  EXPECT_EQ(rate({.schedule = Schedule::kCosine, .warmup = 10, .min_lr = 0.2}, 10), 0.2);
}

TEST(Schedule, PlateauDecaysDownToTheLeast) {
  const ScheduleOptions options{.schedule = Schedule::kPlateau, .min_lr = 0.15};
  EXPECT_EQ(rate(options, 3, {.decays = 0}), 0.8);
  EXPECT_EQ(rate(options, 3, {.decays = 1}), 0.4);
  EXPECT_EQ(rate(options, 3, {.decays = 2}), 0.2);
  EXPECT_EQ(rate(options, 3, {.decays = 3}), 0.15);
}

TEST(Best, KeepsTheLeastPerplexityAndItsEpoch) {
  Best best;
  EXPECT_TRUE(best.update(1, 9, {}));
  EXPECT_TRUE(best.update(2, 5, {}));
  EXPECT_FALSE(best.update(3, 5, {}));
  EXPECT_FALSE(best.update(4, std::nan(""), {}));
  EXPECT_FALSE(best.update(5, std::numeric_limits<double>::infinity(), {}));
  EXPECT_EQ(best.perplexity, 5);
  EXPECT_EQ(best.epoch, 2);
  EXPECT_EQ(best.waiting, 3);
  EXPECT_TRUE(best.update(6, 4, {}));
  EXPECT_EQ(best.waiting, 0);
}

TEST(Best, DecaysOnAPlateauAndThenWaitsAnew) {
  const ScheduleOptions plateau{.schedule = Schedule::kPlateau, .patience = 2};
  Best best;
  std::vector<int64_t> decays;
  for (const double perplexity : {5.0, 6.0, 6.0, 6.0, 6.0, 4.0, 6.0, 3.0, 6.0, 6.0}) {
    best.update(static_cast<int64_t>(decays.size()) + 1, perplexity, plateau);
    decays.push_back(best.decays);
  }
  EXPECT_THAT(decays, ::testing::ElementsAre(0, 0, 1, 1, 2, 2, 2, 2, 2, 3));
  Best constant;
  for (int64_t e = 1; e < 10; ++e) {
    constant.update(e, 5, {.patience = 2});
  }
  EXPECT_EQ(constant.decays, 0);
}

TEST(Schedule, OptionsOutOfRangeAreWrongUsage) {
  const auto refused = [](const std::string& expected, const ScheduleOptions& options) {
    EXPECT_THAT(thrown<UsageError>([&] { check(options, 0.5); }), HasSubstr(expected));
  };
  const double infinity = std::numeric_limits<double>::infinity();
  refused("got -1", {.warmup = -1});
  refused("got inf", {.warmup = infinity});
  refused("min-lr must be from 0 to the lr 0.5, got 0.6", {.min_lr = 0.6});
  refused("got -0.1", {.min_lr = -0.1});
  refused("got nan", {.min_lr = std::nan("")});
  refused("got 1", {.decay = 1});
  refused("got 0", {.decay = 0});
  refused("got 0", {.patience = 0});
  check(ScheduleOptions{.warmup = 3, .min_lr = 0.5}, 0.5);
}

}  // namespace
}  // namespace unroll
