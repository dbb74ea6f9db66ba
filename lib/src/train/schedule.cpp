#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/fields.h"
#include "base/formatted.h"
#include "unroll/error.h"
#include "unroll/optim.h"

namespace unroll {

void check(const ScheduleOptions& options, double lr) {
  check_ranges(options);
  if (options.min_lr > lr) {
    throw UsageError(formatted("min-lr must be from 0 to the lr {}, got {}", lr, options.min_lr));
  }
}

bool Best::update(int64_t at_epoch, double value, const ScheduleOptions& options) {
  if (value < perplexity) {
    perplexity = value;
    epoch = at_epoch;
    waiting = 0;
    stale = 0;
    return true;
  }
  ++waiting;
  if (++stale >= options.patience) {
    stale = 0;
    decays += options.schedule == Schedule::kPlateau ? 1 : 0;
  }
  return false;
}

double learning_rate(const ScheduleOptions& options, double lr, double done, double step,
                     int64_t epochs, const Best& best) {
  if (done + step < options.warmup) {
    return lr * (done + step) / options.warmup;
  }
  switch (options.schedule) {
    case Schedule::kCosine: {
      const double length = static_cast<double>(epochs) - options.warmup;
      const double part = length > 0 ? std::clamp((done - options.warmup) / length, 0.0, 1.0) : 1;
      return options.min_lr + (lr - options.min_lr) * (1 + std::cos(std::numbers::pi * part)) / 2;
    }
    case Schedule::kPlateau:
      return std::max(options.min_lr,
                      lr * std::pow(options.decay, static_cast<double>(best.decays)));
    case Schedule::kConstant:
      break;
  }
  return lr;
}

}  // namespace unroll
