#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/formatted.h"
#include "base/median.h"
#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/machine/peak.h"
#include "ranks/or_alone.h"
#include "study/contender.h"
#include "study/peak_memory.h"
#include "study/threads.h"
#include "unroll/error.h"
#include "unroll/notebook.h"
#include "unroll/study.h"

namespace unroll {
void check(const BenchOptions& options) {
  check_ranges(options);
  for (const auto& [config, compute] : options.models) {
    check(config, compute);
    if (options.inputs > 0 && or_alone(options.ranks)->world() > 1) {
      throw UsageError(formatted("layers on inputs are measured by one process, got {} ranks",
                                 options.ranks->world()));
    }
    if (options.inputs > 0 && config.cell == Cell::kMlp) {
      throw UsageError("layers on inputs are of rnn, rnn-relu, gru and lstm, got cell mlp");
    }
    if (options.inputs > 0 && compute.graph == GraphMode::kOn) {
      throw UsageError("layers on inputs are never captured, got graph on");
    }
    if (options.inputs > 0 && resolved(config).model != ModelKind::kConcise) {
      throw UsageError("layers on inputs are concise or fused, got model scratch");
    }
  }
  for (const auto threads : options.threads) {
    require_in("threads", threads, from_to(1, 4096));
  }
}

double BenchRow::median() const { return unroll::median(tokens_per_second); }

namespace {

// Median of the ratios of what was measured in turns.
double median_ratio(const std::vector<double>& speeds, const std::vector<double>& others) {
  std::vector<double> ratios(speeds.size());
  std::transform(speeds.begin(), speeds.end(), others.begin(), ratios.begin(), std::divides<>());
  return median(std::move(ratios));
}

}  // namespace

double BenchRow::efficiency() const {
  return ranks == 1
             ? 1
             : median_ratio(tokens_per_second, alone_on_its_rows) / static_cast<double>(ranks);
}

double BenchRow::speedup() const { return ranks == 1 ? 1 : median_ratio(tokens_per_second, alone); }

double measure_peak(int64_t threads) {
  constexpr int64_t kRounds = 100'000;
  constexpr double kSeconds = 0.05;
  const Threads limit(threads);
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
  return std::accumulate(speeds.begin(), speeds.end(), 0.0);
}

namespace {

// The same model in a process alone, where several train together.
class Alone {
 public:
  Alone(const ModelSetup& setup, int64_t vocab_size, const SeqDataLoader& train_iter,
        std::shared_ptr<Ranks> ranks)
      : ranks_(std::move(ranks)),
        its_rows_(make_model_contender(setup, vocab_size, train_iter, {.world = ranks_->world()})),
        whole_(make_model_contender(setup, vocab_size, train_iter, {})) {}

  // The next epoch of both, by the first rank; the others wait to hear how fast it was.
  void measure(BenchRow& row, const TrainCallbacks& callbacks) {
    auto speeds = torch::zeros({2}, torch::kFloat64);
    if (ranks_->rank() == 0) {
      speeds[0] = its_rows_->tokens_per_second_of_next_epoch(callbacks);
      speeds[1] = whole_->tokens_per_second_of_next_epoch(callbacks);
    }
    ranks_->broadcast(speeds);
    row.alone_on_its_rows.push_back(speeds[0].item<double>());
    row.alone.push_back(speeds[1].item<double>());
  }

 private:
  std::shared_ptr<Ranks> ranks_;
  std::unique_ptr<Contender> its_rows_;
  std::unique_ptr<Contender> whole_;
};

}  // namespace

std::vector<BenchRow> bench(const SeqDataLoader& train_iter, int64_t vocab_size,
                            const BenchOptions& options, const TrainCallbacks& callbacks) {
  check(options);
  const auto ranks = or_alone(options.ranks);
  const auto world = ranks->world();
  std::vector<BenchRow> rows;
  std::vector<std::unique_ptr<Contender>> contenders;
  std::vector<Alone> alone;  // of each row; none for one process
  const auto train_epoch = [&](std::size_t k) {
    const Threads limit(rows[k].threads);
    return contenders[k]->tokens_per_second_of_next_epoch(callbacks);
  };

  for (const auto& setup : options.models) {
    for (const auto threads : options.threads) {
      rows.push_back(
          {.setup = setup, .inputs = options.inputs, .threads = threads, .ranks = world});
      // All models stay alive, so what one needs is what it adds.
      const PeakMemory peak_memory(train_iter.device());
      contenders.push_back(options.inputs > 0
                               ? make_layer_contender(setup, options.inputs, train_iter)
                               : make_model_contender(setup, vocab_size, train_iter,
                                                      {ranks->rank(), world, ranks},
                                                      callbacks.on_graph_fallback));
      train_epoch(rows.size() - 1);  // warms up: memory, threads, caches, and captures
      rows.back().peak_bytes = peak_memory.added();
      contenders.back()->reset_seconds();
      if (world > 1) {
        auto warm_up = rows.back();
        const Threads limit(threads);
        alone.emplace_back(setup, vocab_size, train_iter, ranks).measure(warm_up, callbacks);
      }
    }
  }
  std::vector<std::vector<double>> peaks(rows.size());
  for (int64_t n = 0; n < options.repeat; ++n) {
    for (std::size_t k = 0; k < rows.size(); ++k) {
      if (world > 1) {
        const Threads limit(rows[k].threads);
        alone[k].measure(rows[k], callbacks);
      }
      peaks[k].push_back(train_iter.device().is_cpu() ? measure_peak(rows[k].threads) : 0);
      rows[k].tokens_per_second.push_back(train_epoch(k));
    }
  }
  for (std::size_t k = 0; k < rows.size(); ++k) {
    rows[k].flops = rows[k].median() * contenders[k]->flops_per_token();
    rows[k].peak = static_cast<double>(world) * median(peaks[k]);  // they measured at one time
    rows[k].phases = contenders[k]->seconds();
    rows[k].is_captured = contenders[k]->is_captured();
    rows[k].effective = contenders[k]->effective();
  }
  return rows;
}

}  // namespace unroll
