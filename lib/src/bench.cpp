#include "unroll/bench.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/peak.h"
#include "require_in.h"
#include "unroll/optim.h"
#include "unroll/timer.h"

namespace unroll {
namespace {

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Linux keeps a process' peak and lets it begin anew.
void forget_peak_memory() { std::ofstream("/proc/self/clear_refs") << 5; }

int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) {
      return std::stoll(line.substr(6)) * 1024;
    }
  }
  return 0;
}

// A model under training.
class Contender {
 public:
  Contender(const ModelConfig& config, int64_t vocab_size, const SeqDataLoader& train_iter,
            const TrainOptions& options = {})
      : net_(make_model(config, vocab_size, train_iter.device())),
        updater_(make_updater(*net_, options.optimizer, options.lr)),
        step_(*net_, *updater_, options.clip, progress_),
        train_iter_(train_iter) {}

  double tokens_per_second_of_next_epoch(const TrainCallbacks& callbacks) {
    return train_epoch_ch8(train_iter_.epoch(epoch_++), step_, progress_, callbacks)
        .tokens_per_second;
  }
  StepSeconds& seconds() { return step_.seconds(); }

 private:
  std::unique_ptr<SequenceModel> net_;
  std::unique_ptr<Updater> updater_;
  TrainProgress progress_;
  EagerStep step_;
  const SeqDataLoader& train_iter_;
  int64_t epoch_ = 0;
};

}  // namespace

void check(const BenchOptions& options) {
  for (const auto& model : options.models) {
    check(model);
  }
  for (const auto threads : options.threads) {
    require_in("threads", threads, 1, 4096);
  }
  require_in("repeat", options.repeat, 1, 1'000'000);
}

double BenchRow::median() const { return median_of(tokens_per_second); }

double measure_peak(int64_t threads) {
  constexpr int64_t kRounds = 100'000;
  constexpr double kSeconds = 0.05;
  const int before = at::get_num_threads();
  at::set_num_threads(static_cast<int>(threads));
  std::vector<double> speeds(static_cast<std::size_t>(threads));
  cpu::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      const Timer timer;
      double flops = 0;
      while (timer.stop() < kSeconds) {
        flops += cpu::multiply_adds(kRounds);
      }
      speeds[n] = flops / timer.stop();
    }
  });
  at::set_num_threads(before);
  return std::accumulate(speeds.begin(), speeds.end(), 0.0);
}

std::vector<BenchRow> bench(const SeqDataLoader& train_iter, int64_t vocab_size,
                            const BenchOptions& options, const TrainCallbacks& callbacks) {
  check(options);
  const int threads_before = at::get_num_threads();
  std::vector<BenchRow> rows;
  std::vector<std::unique_ptr<Contender>> contenders;
  const auto train_epoch = [&](std::size_t k) {
    at::set_num_threads(static_cast<int>(rows[k].threads));
    const double speed = contenders[k]->tokens_per_second_of_next_epoch(callbacks);
    at::set_num_threads(threads_before);
    return speed;
  };

  for (const auto& model : options.models) {
    for (const auto threads : options.threads) {
      rows.push_back({.config = model, .threads = threads});
      contenders.push_back(std::make_unique<Contender>(model, vocab_size, train_iter));
      train_epoch(rows.size() - 1);  // warms up: memory, threads, caches
      contenders.back()->seconds() = {};
    }
  }
  std::vector<std::vector<double>> peaks(rows.size());
  for (int64_t n = 0; n < options.repeat; ++n) {
    for (std::size_t k = 0; k < rows.size(); ++k) {
      peaks[k].push_back(train_iter.device().is_cpu() ? measure_peak(rows[k].threads) : 0);
      forget_peak_memory();
      rows[k].tokens_per_second.push_back(train_epoch(k));
      rows[k].peak_bytes = std::max(rows[k].peak_bytes, peak_memory());
    }
  }
  for (std::size_t k = 0; k < rows.size(); ++k) {
    rows[k].flops = rows[k].median() * training_flops_per_token(rows[k].config, vocab_size);
    rows[k].peak = median_of(peaks[k]);
    rows[k].phases = contenders[k]->seconds();
  }
  return rows;
}

}  // namespace unroll
