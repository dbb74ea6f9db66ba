#include <cmath>
#include <utility>

#include "base/formatted.h"
#include "train/progress.h"
#include "unroll/error.h"
#include "unroll/evaluate.h"
#include "unroll/notebook.h"
#include "unroll/train.h"

namespace unroll {

EpochStats train_epoch_ch8(const Epoch& train_iter, TrainStep& step, TrainProgress& progress,
                           const TrainCallbacks& callbacks) {
  const Timer timer;
  const double seconds_before = progress.sums.seconds;
  for (int64_t k = progress.batch; k < train_iter.size(); ++k) {
    begin_sums(progress, train_iter.device());
    step.run_batch(train_iter, k);
    progress.batch = k + 1;
    progress.sums.seconds = seconds_before + timer.stop();
    if (callbacks.on_batch) {
      callbacks.on_batch(progress, train_iter.size());
    }
  }

  step.wait();
  const auto sums = std::exchange(progress.sums, {});
  progress.batch = 0;
  ++progress.epoch;
  if (sums.steps == 0) {
    throw Error(formatted("epoch {} has no batch", progress.epoch));
  }
  const auto skipped = sums.nonfinite.item<int64_t>();
  const double seconds = seconds_before + timer.stop();
  // All batches are of one size.
  const int64_t finite_steps = sums.steps - skipped;
  const int64_t finite_tokens = sums.tokens / sums.steps * finite_steps;
  const double nats = sums.loss.item<double>();
  const double mean_norm = sums.grad_norm.item<double>() / static_cast<double>(finite_steps);
  const double perplexity = unroll::perplexity(nats, finite_tokens);
  if (!std::isfinite(perplexity)) {
    const auto steps =
        finite_steps == 0 || (skipped > 0 && std::isnan(nats))
            ? formatted("{} of {} steps were not finite", skipped, sums.steps)
            : formatted("loss {:.3g}, gradient norm {:.3g} on average",
                        std::abs(nats / static_cast<double>(finite_tokens)), std::abs(mean_norm));
    throw Diverged(formatted("training diverged in epoch {}: {}", progress.epoch, steps));
  }
  return {.epoch = progress.epoch,
          .perplexity = perplexity,
          .tokens_per_second = static_cast<double>(sums.tokens) / seconds,
          .grad_norm = mean_norm,
          .seconds = seconds,
          .lr = 0,
          .skipped = skipped};
}

}  // namespace unroll
