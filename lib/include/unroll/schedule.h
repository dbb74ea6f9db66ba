#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

namespace unroll {

/// How the learning rate goes on after the warm-up.
enum class Schedule {
  kConstant,  ///< as it is
  kCosine,    ///< half a cosine from the learning rate down to `min_lr` at the last epoch's end
  kPlateau,   ///< times `decay` whenever the perplexity has not been better for `patience` epochs
};

/// The name that parse_schedule reads.
std::string_view to_string(Schedule schedule);

/// `constant`, `cosine` or `plateau`; throws UsageError otherwise.
Schedule parse_schedule(std::string_view name);

/// How the learning rate changes while training.
struct ScheduleOptions {
  Schedule schedule = Schedule::kConstant;  ///< after the warm-up
  double warmup = 0;     ///< epochs, or a part of one, over which the learning rate rises from 0
  double min_lr = 0;     ///< where cosine ends and below which plateau does not go
  double decay = 0.5;    ///< factor of plateau
  int64_t patience = 5;  ///< of plateau: times that the perplexity is looked at and is not better

  bool operator==(const ScheduleOptions&) const = default;
};

/// Throws UsageError unless every option is in range for this learning rate.
void check(const ScheduleOptions& options, double lr);

/// The best perplexity seen so far, and how long that is ago.
struct Best {
  double perplexity = std::numeric_limits<double>::infinity();
  int64_t epoch = 0;    ///< that reached it
  int64_t waiting = 0;  ///< times that it was looked at since and was not better
  int64_t stale = 0;    ///< the same, counted anew after each decay on a plateau
  int64_t decays = 0;   ///< of the learning rate, on a plateau

  /// Takes an epoch's perplexity in; whether it is the best. Not-a-number is not.
  bool update(int64_t at_epoch, double value, const ScheduleOptions& options);
};

/// Learning rate of the step that begins after `done` epochs, a fraction counting the running
/// one's batches, and ends after `done + step`, of a training of so many epochs.
///
/// Cosine: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts.
double learning_rate(const ScheduleOptions& options, double lr, double done, double step,
                     int64_t epochs, const Best& best);

}  // namespace unroll
