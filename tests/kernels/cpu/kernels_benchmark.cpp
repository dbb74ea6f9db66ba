// Before Highway's own headers.
#include "kernels/cpu/machine/targets.h"
//
#include <benchmark/benchmark.h>
#include <hwy/highway.h>

#include <bit>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/cells.h"
#include "kernels/cpu/machine/peak.h"
#include "kernels/cpu/matrices/pack.h"
#include "kernels/cpu/matrices/panel_product.h"
#include "kernels/cpu/matrices/product.h"
#include "kernels/cpu/matrices/rows.h"
#include "kernels/cpu/matrices/tile_product.h"
#include "kernels/cpu/matrices/weight_gradients.h"
#include "kernels/cpu/softmax.h"
#include "kernels/cpu/vector_ops.h"

// The kernels one by one, at the sizes of the default model: batch 32, hidden 512, vocabulary 28,
// on each instruction set.
//   unroll_kernels_benchmark --benchmark_filter=Multiply/AVX3

namespace unroll::cpu {
namespace {

constexpr int64_t kBatch = 32;
constexpr int64_t kSteps = 35;
constexpr int64_t kHidden = 512;
constexpr int64_t kVocab = 28;

Panels filled(int64_t rows, int64_t columns, int64_t width, int64_t strip) {
  Panels result;
  result.resize(rows, columns, width, strip);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      *result.at(r, c) = std::sin(static_cast<float>(r * columns + c));
    }
  }
  return result;
}

Panels filled(int64_t rows, int64_t columns, int64_t width = kPanel) {
  return filled(rows, columns, width, width);
}

Panels filled_right_side(int64_t rows, int64_t columns) {
  return filled(rows, columns, kPanel, strip_of_right_side(kPanel));
}

// bf16 of both signs and of the size that training has.
void fill(Bf16* values, int64_t count, float scale) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, scale);
  for (int64_t i = 0; i < count; ++i) {
    values[i] = static_cast<Bf16>(std::bit_cast<uint32_t>(normal(random)) >> 16);
  }
}

void count_flops(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] = benchmark::Counter(flops * static_cast<double>(state.iterations()),
                                                benchmark::Counter::kIsRate);
}

// Where the gradient of W_hh goes.
struct RecurrentGradient {
  explicit RecurrentGradient(const Activations& dz)
      : term{.dz = &dz,
             .first_step = 0,
             .gates = {.count = 1, .hidden = kHidden},
             .gradients = {&to}} {}
  RecurrentGradient(const RecurrentGradient&) = delete;
  RecurrentGradient& operator=(const RecurrentGradient&) = delete;

  std::vector<float> values = std::vector<float>(kHidden * kHidden);
  StridedMatrix to{values.data(), kHidden, kHidden, kHidden, 1};
  GradientTerm term;
};

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
  const auto h = filled((kSteps + 1) * kBatch, kHidden, kStatePanel);
  const auto W = filled_right_side(kHidden, kHidden);
  alignas(64) float C[kBatch * kPanel];
  for (auto _ : state) {
    for (int64_t p = 0; p < W.panels(); ++p) {
      multiply(h, 0, rows, {.B = W, .p = p, .depth = kHidden}, {.C = C});
      benchmark::DoNotOptimize(C);
    }
  }
  count_flops(state, 2.0 * static_cast<double>(rows * kHidden * kHidden));
}

// One time step of weights that no core's own cache holds, an LSTM's of 1024 units: 16 MiB.
template <bool prefetch>
void uncached_weights(benchmark::State& state) {
  constexpr int64_t kUnits = 1024;
  const int64_t rows = state.range(0);
  const auto h = filled(rows, kUnits, kStatePanel);
  const auto W = filled_right_side(kUnits, 4 * kUnits);
  alignas(64) float C[kBatch * kPanel];
  for (auto _ : state) {
    for (int64_t p = 0; p < W.panels(); ++p) {
      const float* const next = W.at(0, (p + 1) % W.panels() * kPanel);
      multiply(h, 0, rows, {.B = W, .p = p, .depth = kUnits, .next = prefetch ? next : nullptr},
               {.C = C});
      benchmark::DoNotOptimize(C);
    }
  }
  count_flops(state, 2.0 * static_cast<double>(rows * kUnits * 4 * kUnits));
}
void MultiplyUncached(benchmark::State& state) { uncached_weights<false>(state); }
void MultiplyPrefetched(benchmark::State& state) { uncached_weights<true>(state); }

// The gradient of W_hh, a product over all steps of a batch.
void MultiplyTransposed(benchmark::State& state) {
  const int64_t batch_size = state.range(0);
  Activations h;
  h.resize(kSteps + 1, batch_size, kHidden, kStatePanel, {});
  h.values() = filled((kSteps + 1) * batch_size, kHidden, kStatePanel);
  Activations dz;
  dz.resize(kSteps, batch_size, kHidden, kPanel, {});
  dz.values() = filled_right_side(kSteps * batch_size, kHidden);
  const RecurrentGradient gradient(dz);
  for (auto _ : state) {
    weight_gradients(h, {&gradient.term, 1});
    benchmark::ClobberMemory();
  }
  count_flops(state, 2.0 * static_cast<double>(kSteps * batch_size * kHidden * kHidden));
}

void Pack(benchmark::State& state) {
  std::vector<float> values(kHidden * kHidden, 1.0F);
  const StridedMatrix W{values.data(), kHidden, kHidden, kHidden, 1};
  const Gates gates{.count = 1, .hidden = kHidden};
  Weights packed;
  packed.resize(kHidden, kHidden, kPanel, static_cast<int>(state.range(0)));
  for (auto _ : state) {
    pack(W, gates, 0, 0, gates.blocks(), packed);
    pack_transposed(W, gates, 0, 0, gates.blocks(), packed);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 2 * kHidden * kHidden * 4);
}

// One time step's pointwise part.
void LstmForward(benchmark::State& state) {
  const Gates layout{.count = 4, .hidden = kHidden};
  const auto sums = filled(kBatch, kPanel);
  const auto input = filled(kVocab, layout.columns(), layout.width());
  const auto parts = static_cast<int>(state.range(0));
  CellMemory memory{.cell = CellKind::kLstm};
  memory.gates.resize(1, kBatch, layout.columns(), layout.width(), {});
  memory.h.resize(2, kBatch, kHidden, kStatePanel, {.values = parts == 0, .parts = parts});
  memory.c = filled(2 * kBatch, kHidden);
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
                   {&input, rows.data()}, memory);
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kBatch * kHidden);
}

// One time step's pointwise part, forward or back; the argument is parts of the tiles, or 0.
template <bool backward>
void rnn_step(benchmark::State& state) {
  const auto parts = static_cast<int>(state.range(0));
  const auto sums = filled(kBatch, kPanel);
  const auto input = filled(kVocab, kHidden);
  CellMemory memory{.cell = CellKind::kRnn};
  memory.h.resize(2, kBatch, kHidden, kStatePanel, {.values = parts == 0, .parts = parts});
  memory.gates.resize(1, kBatch, kHidden, kPanel,
                      {.values = parts == 0, .parts = parts, .right = true});
  const std::vector<int32_t> rows(kBatch, 3);
  for (auto _ : state) {
    for (int64_t block = 0; block < kHidden / kBlock; block += 4) {
      const CellTile tile{.sums = sums.at(0, 0),
                          .stride = kPanel,
                          .time = 0,
                          .batch_size = kBatch,
                          .row = 0,
                          .rows = kBatch,
                          .block = block,
                          .blocks = 4};
      if (backward) {
        rnn_backward(tile, memory);
      } else {
        rnn_forward(tile, {&input, rows.data()}, memory);
      }
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kBatch * kHidden);
}
void RnnForward(benchmark::State& state) { rnn_step<false>(state); }
void RnnBackward(benchmark::State& state) { rnn_step<true>(state); }

// One time step: h W_hh in tiles.
void MultiplyTiles(benchmark::State& state) {
  const auto parts = static_cast<int>(state.range(0));
  const int64_t rows = state.range(1);
  Activations h;
  h.resize(1, rows, kHidden, kStatePanel, {.values = false, .parts = parts});
  Weights W;
  W.resize(kHidden, kHidden, kPanel, parts);
  // Values like those of training: those of zeros cost less power, and so less time.
  fill(h.left().at(0, 0), parts * h.left().part_stride(), 0.5F);
  fill(W.tiles().at(0, 0), parts * W.tiles().part_stride(), 0.05F);
  const StepTerm term{&h, 0, &W};
  alignas(64) float C[kBatch * kPanel];
  const TileScope scope(parts);
  for (auto _ : state) {
    for (int64_t p = 0; p < W.panels(); ++p) {
      multiply_step({&term, 1}, 0, rows, p, {.C = C});
      benchmark::DoNotOptimize(C);
    }
  }
  count_flops(state, 2.0 * static_cast<double>(rows * kHidden * kHidden));
}

// The gradient of W_hh from tiles.
void GradientTiles(benchmark::State& state) {
  const auto parts = static_cast<int>(state.range(0));
  Activations h;
  h.resize(kSteps + 1, kBatch, kHidden, kStatePanel, {.values = false, .parts = parts});
  Activations dz;
  dz.resize(kSteps, kBatch, kHidden, kPanel, {.values = false, .parts = parts, .right = true});
  fill(h.left().at(0, 0), parts * h.left().part_stride(), 0.5F);
  fill(dz.right().at(0, 0), parts * dz.right().part_stride(), 1e-4F);
  const RecurrentGradient gradient(dz);
  for (auto _ : state) {
    weight_gradients(h, {&gradient.term, 1});
    benchmark::ClobberMemory();
  }
  count_flops(state, 2.0 * static_cast<double>(kSteps * kBatch * kHidden * kHidden));
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

// An update of the weights: the norm of their gradient, then a step along it.
void Update(benchmark::State& state) {
  constexpr int64_t kSize = kHidden * kHidden;
  const std::vector<float> gradient(kSize, 1e-3F);
  std::vector<float> weights(kSize, 1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(sum_of_squares(gradient.data(), kSize));
    subtract_scaled(gradient.data(), 1e-3F, weights.data(), kSize);
  }
  state.SetBytesProcessed(state.iterations() * 4 * kSize * static_cast<int64_t>(sizeof(float)));
}

void SumRows(benchmark::State& state) {
  const auto parts = static_cast<int>(state.range(0));
  Activations dz;
  dz.resize(kSteps, kBatch, kHidden, kPanel, {.values = parts == 0, .parts = parts, .right = true});
  auto sums = filled(kVocab, kHidden);
  std::vector<int32_t> slot;
  for (int64_t r = 0; r < kSteps * kBatch; ++r) {
    slot.push_back(static_cast<int32_t>(r % kVocab));
  }
  for (auto _ : state) {
    for (int64_t p = 0; p < sums.panels(); ++p) {
      sum_rows(dz, slot.data(), p, sums);
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kSteps * kBatch);
}

// Whether tiles of bf16 cannot be computed for this instruction set here.
bool needs_tile_unit(int64_t target) {
  return HWY_ARCH_X86_64 && target <= HWY_AVX3 && !has_tile_unit();
}

// Registers a benchmark on each instruction set; `argument` is state.range(0).
void on_each_target(const std::string& name, void (*function)(benchmark::State&),
                    const std::vector<int64_t>& arguments) {
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    for (const auto argument : arguments) {
      if (argument > 0 && needs_tile_unit(target) && !name.starts_with("Multiply")) {
        continue;  // parts of tiles
      }
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
  on_each_target("MultiplyUncached", MultiplyUncached, {1, 8, 32});
  on_each_target("MultiplyPrefetched", MultiplyPrefetched, {1, 8, 32});
  on_each_target("MultiplyTransposed", MultiplyTransposed, {32, 512});
  on_each_target("LstmForward", LstmForward, {0, 1, 2});
  on_each_target("RnnForward", RnnForward, {0, 1, 2});
  on_each_target("RnnBackward", RnnBackward, {0, 1, 2});
  on_each_target("SoftmaxCrossEntropy", SoftmaxCrossEntropy, {0});
  on_each_target("Pack", Pack, {0, 1, 2});
  on_each_target("SumRows", SumRows, {0, 1, 2});
  on_each_target("Update", Update, {0});
  if (has_tile_unit()) {
    for (const int64_t parts : {1, 2}) {
      for (const int64_t rows : {16, 32}) {
        benchmark::RegisterBenchmark("MultiplyTiles", MultiplyTiles)
            ->Args({parts, rows})
            ->ArgNames({"parts", "rows"});
      }
      benchmark::RegisterBenchmark("GradientTiles", GradientTiles)->Arg(parts)->ArgName("parts");
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
