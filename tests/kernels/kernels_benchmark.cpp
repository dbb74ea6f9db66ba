// Before Highway's own headers.
#include "kernels/cpu/targets.h"
//
#include <benchmark/benchmark.h>
#include <hwy/highway.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/cpu/cells.h"
#include "kernels/cpu/pack.h"
#include "kernels/cpu/peak.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/softmax.h"

// The kernels one by one, at the sizes of the default model: batch 32, hidden 512, vocabulary 28,
// on each instruction set.
//   unroll_kernels_benchmark --benchmark_filter=Multiply/AVX3

namespace unroll::cpu {
namespace {

constexpr int64_t kBatch = 32;
constexpr int64_t kSteps = 35;
constexpr int64_t kHidden = 512;
constexpr int64_t kVocab = 28;

Panels filled(int64_t rows, int64_t columns, int64_t width = kPanel) {
  Panels result;
  result.resize(rows, columns, width);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      *result.at(r, c) = std::sin(static_cast<float>(r * columns + c));
    }
  }
  return result;
}

void count_flops(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] = benchmark::Counter(flops * static_cast<double>(state.iterations()),
                                                benchmark::Counter::kIsRate);
}

// What the products are to be held to.
void Peak(benchmark::State& state) {
  constexpr int64_t kRounds = 10000;
  double flops = 0;
  for (auto _ : state) {
    flops = multiply_adds(kRounds);
  }
  count_flops(state, flops);
}

// One time step: h W_hh.
void Multiply(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const auto h = filled(rows, kHidden);
  const auto W = filled(kHidden, kHidden);
  alignas(64) float C[kBatch * kPanel];
  for (auto _ : state) {
    for (int64_t p = 0; p < W.panels(); ++p) {
      multiply(h, 0, rows, W, p, C, kPanel, false);
      benchmark::DoNotOptimize(C);
    }
  }
  count_flops(state, 2.0 * static_cast<double>(rows * kHidden * kHidden));
}

// The gradient of W_hh.
void MultiplyTransposed(benchmark::State& state) {
  const auto h = filled(kSteps * kBatch, kHidden);
  const auto dz = filled(kSteps * kBatch, kHidden);
  alignas(64) float C[kPanel * kPanel];
  for (auto _ : state) {
    for (int64_t b = 0; b < dz.panels(); ++b) {
      for (int64_t a = 0; a < h.panels(); ++a) {
        multiply_transposed(h, 0, a, dz, b, C, kPanel);
        benchmark::DoNotOptimize(C);
      }
    }
  }
  count_flops(state, 2.0 * static_cast<double>(kSteps * kBatch * kHidden * kHidden));
}

void Pack(benchmark::State& state) {
  std::vector<float> values(kHidden * kHidden, 1.0F);
  const StridedMatrix W{values.data(), kHidden, kHidden, kHidden, 1};
  const Gates gates{.count = 1, .hidden = kHidden};
  auto packed = filled(kHidden, kHidden);
  for (auto _ : state) {
    if (state.range(0) == 0) {
      pack(W, gates, 0, 0, kHidden, packed);
    } else {
      pack_transposed(W, gates, 0, 0, kHidden, packed);
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * kHidden * kHidden * 4);
}

// One time step's pointwise part.
void LstmForward(benchmark::State& state) {
  const Gates layout{.count = 4, .hidden = kHidden};
  const auto sums = filled(kBatch, kPanel);
  const auto input = filled(kVocab, layout.columns(), layout.width());
  auto gates = filled(kBatch, layout.columns(), layout.width());
  auto c = filled(2 * kBatch, kHidden);
  auto h = filled(2 * kBatch, kHidden);
  const std::vector<int32_t> rows(kBatch, 3);
  for (auto _ : state) {
    for (int64_t block = 0; block < layout.blocks(); ++block) {
      lstm_forward({.sums = sums.at(0, 0),
                    .stride = kPanel,
                    .time = 0,
                    .batch_size = kBatch,
                    .row = 0,
                    .rows = kBatch,
                    .block = block,
                    .blocks = 1},
                   {&input, rows.data()}, gates, c, h);
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kBatch * kHidden);
}

void SoftmaxCrossEntropy(benchmark::State& state) {
  const auto original = filled(kSteps * kBatch, kVocab);
  std::vector<int64_t> labels(kSteps * kBatch, 7);
  auto logits = filled(kSteps * kBatch, kVocab);
  for (auto _ : state) {
    benchmark::DoNotOptimize(softmax_cross_entropy(logits, 0, logits.rows(), labels.data(), 1e-3F));
  }
  state.SetItemsProcessed(state.iterations() * kSteps * kBatch);
}

void SumRows(benchmark::State& state) {
  const auto dz = filled(kSteps * kBatch, kHidden);
  auto sums = filled(kVocab, kHidden);
  std::vector<int32_t> slot;
  for (int64_t r = 0; r < dz.rows(); ++r) {
    slot.push_back(static_cast<int32_t>(r % kVocab));
  }
  for (auto _ : state) {
    for (int64_t p = 0; p < dz.panels(); ++p) {
      sum_rows(dz, slot.data(), p, sums);
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * dz.rows());
}

// Registers a benchmark on each instruction set; `argument` is state.range(0).
void on_each_target(const std::string& name, void (*function)(benchmark::State&),
                    const std::vector<int64_t>& arguments) {
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    for (const auto argument : arguments) {
      benchmark::RegisterBenchmark((name + "/" + hwy::TargetName(target)).c_str(),
                                   [=](benchmark::State& state) {
                                     hwy::SetSupportedTargetsForTest(target);
                                     function(state);
                                     hwy::SetSupportedTargetsForTest(0);
                                   })
          ->Arg(argument);
    }
  }
}

}  // namespace
}  // namespace unroll::cpu

int main(int argc, char** argv) {
  using namespace unroll::cpu;
  on_each_target("Peak", Peak, {0});
  on_each_target("Multiply", Multiply, {1, 8, 16, 32});
  on_each_target("MultiplyTransposed", MultiplyTransposed, {0});
  on_each_target("LstmForward", LstmForward, {0});
  on_each_target("SoftmaxCrossEntropy", SoftmaxCrossEntropy, {0});
  benchmark::RegisterBenchmark("Pack", Pack)->Arg(0)->ArgName("transposed");
  benchmark::RegisterBenchmark("Pack", Pack)->Arg(1)->ArgName("transposed");
  benchmark::RegisterBenchmark("SumRows", SumRows);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
