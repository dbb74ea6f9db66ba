// The CUDA kernels of the recurrence, on the CPU, against LibTorch's operations and autograd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <iterator>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "base/formatted.h"
#include "emulation/simt_on_cpu.h"
#include "kernels/cuda/expected_layer.h"
#include "kernels/cuda/kernels.h"
#include "support/all_close.h"

namespace unroll::cuda {
namespace {

using torch::Tensor;

const float* read(const Tensor& t) { return t.const_data_ptr<float>(); }

// Runs both ways by some launch, and compares.
class Check {
 public:
  Check(const LayerCase& c, int S) : c_(c), layer_(c) {
    const int64_t T = c.steps, B = c.batch_size, H = c.hidden, GH = gate_count(c.cell) * H;
    const auto nan = [](at::IntArrayRef sizes) {
      return torch::full(sizes, std::numeric_limits<float>::quiet_NaN());
    };
    h_ = nan({T * B, H});
    c_states_ = nan({T * B, H});
    gates_ = nan({T * B, GH});
    p_ = nan({T * B, H});
    dz_ = nan({T * B, GH});
    dp_ = nan({T * B, H});
    dh_before_ = nan({B, H});
    dc_before_ = nan({B, H});
    W_h_t_ = layer_.W_h.t().contiguous();
    exchange_ = nan({int64_t{64} * 2 * in_tiles(static_cast<int>(4 * H)) * kTile * S});
    arrivals_ = torch::zeros({64}, torch::kInt32);
  }

  ForwardArguments forward_arguments() {
    const bool lstm = layer_.has_c(), after = layer_.has_p();
    return {.steps = c_.steps,
            .batch_size = c_.batch_size,
            .hidden = c_.hidden,
            .x = read(layer_.x),
            .row = c_.from_rows ? layer_.row.const_data_ptr<int64_t>() : nullptr,
            .W_h = read(layer_.W_h),
            .b_hh = after ? read(layer_.b_hh) : nullptr,
            .h_before = read(layer_.h_before),
            .c_before = lstm ? read(layer_.c_before) : nullptr,
            .h = h_.data_ptr<float>(),
            .c = lstm ? c_states_.data_ptr<float>() : nullptr,
            .gates = is_simple(c_.cell) ? nullptr : gates_.data_ptr<float>(),
            .p = after || c_.cell == CellKind::kGruBefore ? p_.data_ptr<float>() : nullptr,
            .exchange = exchange()};
  }

  BackwardArguments backward_arguments() {
    const bool lstm = layer_.has_c(), after = layer_.has_p(), state = c_.with_state_gradient;
    return {.steps = c_.steps,
            .batch_size = c_.batch_size,
            .hidden = c_.hidden,
            .W_h_t = read(W_h_t_),
            .h_before = read(layer_.h_before),
            .c_before = lstm ? read(layer_.c_before) : nullptr,
            .h = read(h_),
            .c = lstm ? read(c_states_) : nullptr,
            .gates = is_simple(c_.cell) ? nullptr : read(gates_),
            .p = after ? read(p_) : nullptr,
            .dh = read(layer_.dh),
            .dh_after = state ? read(layer_.dh_after) : nullptr,
            .dc_after = state && lstm ? read(layer_.dc_after) : nullptr,
            .dz = dz_.data_ptr<float>(),
            .dp = after ? dp_.data_ptr<float>() : nullptr,
            .dh_before = state ? dh_before_.data_ptr<float>() : nullptr,
            .dc_before = state && lstm ? dc_before_.data_ptr<float>() : nullptr,
            .exchange = exchange()};
  }

  void compare() const {
    EXPECT_EQ(arrivals_.abs().sum().item<int64_t>(), 0);
    // A sum in another order may be rounded to the next bf16.
    const double kTolerance = c_.operands == Operands::kFloat32 ? 2e-5 : 5e-3;
    EXPECT_TRUE(all_close(h_, layer_.h, kTolerance)) << "h";
    if (c_.operands == Operands::kBf16) {
      // Hardly any is, so that the mean difference is far below what rounding makes.
      auto precise = c_;
      precise.operands = Operands::kFloat32;
      const auto mean = [&](const Tensor& expected) {
        return (h_ - expected).abs().mean().template item<double>();
      };
      EXPECT_LT(20 * mean(layer_.h), mean(ExpectedLayer(precise).h));
    }
    EXPECT_TRUE(all_close(dz_, layer_.dz, kTolerance)) << "dz";
    if (layer_.has_c()) {
      EXPECT_TRUE(all_close(c_states_, layer_.c, kTolerance)) << "c";
    }
    if (layer_.has_p()) {
      EXPECT_TRUE(all_close(dp_, layer_.dp, kTolerance)) << "dp";
    }
    if (c_.with_state_gradient) {
      EXPECT_TRUE(all_close(dh_before_, layer_.dh_before, kTolerance)) << "dh_before";
      if (layer_.has_c()) {
        EXPECT_TRUE(all_close(dc_before_, layer_.dc_before, kTolerance)) << "dc_before";
      }
    }
  }

 private:
  ExchangeMemory exchange() {
    return {reinterpret_cast<uint32_t*>(exchange_.data_ptr<float>()),
            reinterpret_cast<unsigned*>(arrivals_.data_ptr<int>())};
  }

  LayerCase c_;
  ExpectedLayer layer_;
  Tensor h_, c_states_, gates_, p_, dz_, dp_, dh_before_, dc_before_, W_h_t_, exchange_, arrivals_;
};

template <CellKind kCell, int kHidden, int S, Operands kOperands = Operands::kFloat32>
void check_cluster(LayerCase c, int groups) {
  c.cell = kCell;
  c.operands = kOperands;
  SCOPED_TRACE(formatted("cluster of {}, S {}, H {}, B {}, T {}", kHidden, S, c.hidden,
                         c.batch_size, c.steps));
  Check check(c, S);
  const int units = cluster_units(kCell, kHidden);
  const int blocks = static_cast<int>((c.hidden + units - 1) / units);
  const auto grid = [&](bool back) {
    return Grid{
        .blocks = blocks * groups,
        .threads = kThreads,
        .cluster = blocks,
        .shared_bytes = cluster_layout(kCell, back, kHidden, S, kOperands).end * sizeof(float),
        .seed = static_cast<uint32_t>(c.hidden)};
  };
  const auto there = check.forward_arguments();
  run(grid(false),
      [&] { cluster_layer<ForwardArguments, kCell, kHidden, S, kOperands>(there, blocks); });
  const auto back = check.backward_arguments();
  run(grid(true),
      [&] { cluster_layer<BackwardArguments, kCell, kHidden, S, kOperands>(back, blocks); });
  check.compare();
}

template <CellKind kCell, int kColumns, int S, Operands kOperands = Operands::kFloat32>
void check_grid(LayerCase c, int units, int groups) {
  c.cell = kCell;
  c.operands = kOperands;
  SCOPED_TRACE(formatted("grid of {} units a block, S {}, H {}, B {}, T {}", units, S, c.hidden,
                         c.batch_size, c.steps));
  Check check(c, S);
  const int blocks = static_cast<int>((c.hidden + units - 1) / units);
  const auto grid = [&](bool back) {
    const auto layout = grid_layout(kCell, back, static_cast<int>(c.hidden), units, S, kOperands);
    return Grid{.blocks = blocks * groups,
                .threads = kThreads,
                .cluster = 1,
                .shared_bytes = layout.end * sizeof(float),
                .seed = static_cast<uint32_t>(c.hidden)};
  };
  const auto there = check.forward_arguments();
  run(grid(false),
      [&] { grid_layer<ForwardArguments, kCell, kColumns, S, kOperands>(there, blocks, units); });
  const auto back = check.backward_arguments();
  run(grid(true),
      [&] { grid_layer<BackwardArguments, kCell, kColumns, S, kOperands>(back, blocks, units); });
  check.compare();
}

template <typename Kind>
class CudaCell : public ::testing::Test {};

template <CellKind kCell>
using Of = std::integral_constant<CellKind, kCell>;
template <std::size_t... kIndices>
::testing::Types<Of<kAllCells[kIndices]>...> all_of(std::index_sequence<kIndices...>);
using Cells = decltype(all_of(std::make_index_sequence<std::size(kAllCells)>()));
TYPED_TEST_SUITE(CudaCell, Cells);

TYPED_TEST(CudaCell, OfAClusterIsLibTorchs) {
  constexpr auto kCell = TypeParam::value;
  check_cluster<kCell, 128, 1>({.steps = 3, .batch_size = 1, .hidden = 34}, 1);
  check_cluster<kCell, 128, 2>({.steps = 4, .batch_size = 3, .hidden = 70}, 2);
  check_cluster<kCell, 128, 4>({.steps = 3, .batch_size = 5, .hidden = 64}, 1);
  check_cluster<kCell, 128, 8>({.steps = 2, .batch_size = 11, .hidden = 33, .from_rows = false}, 1);
  check_cluster<kCell, 256, 4>({.steps = 2, .batch_size = 4, .hidden = 130}, 1);
}

TYPED_TEST(CudaCell, OfAGridIsLibTorchs) {
  constexpr auto kCell = TypeParam::value;
  check_grid<kCell, 1, 1>({.steps = 3, .batch_size = 1, .hidden = 8}, 8, 1);
  check_grid<kCell, 1, 2>({.steps = 4, .batch_size = 3, .hidden = 21}, 8, 2);
  check_grid<kCell, 2, 4>({.steps = 3, .batch_size = 9, .hidden = 40}, 16, 1);
  check_grid<kCell, 2, 8>({.steps = 2, .batch_size = 11, .hidden = 33, .from_rows = false}, 16, 1);
}

TYPED_TEST(CudaCell, NeedsNoGradientByTheStates) {
  constexpr auto kCell = TypeParam::value;
  const LayerCase c{.steps = 3, .batch_size = 5, .hidden = 40, .with_state_gradient = false};
  check_cluster<kCell, 128, 2>(c, 1);
  check_grid<kCell, 1, 2>(c, 8, 1);
  auto several_tiles = c;
  several_tiles.batch_size = 19;
  several_tiles.hidden = 37;
  check_cluster<kCell, 256, 8, Operands::kBf16>(several_tiles, 1);
  check_grid<kCell, 1, 8, Operands::kBf16>(several_tiles, 8, 1);
}

TYPED_TEST(CudaCell, OfAClusterInBf16IsLibTorchs) {
  constexpr auto kCell = TypeParam::value;
  constexpr auto kBf16 = Operands::kBf16;
  check_cluster<kCell, 256, 8, kBf16>({.steps = 3, .batch_size = 1, .hidden = 34}, 1);
  check_cluster<kCell, 256, 8, kBf16>({.steps = 3, .batch_size = 19, .hidden = 70}, 2);
  check_cluster<kCell, 256, 8, kBf16>({.steps = 3, .batch_size = 7, .hidden = 65}, 1);
}

TYPED_TEST(CudaCell, OfAGridInBf16IsLibTorchs) {
  constexpr auto kCell = TypeParam::value;
  constexpr auto kBf16 = Operands::kBf16;
  check_grid<kCell, 1, 8, kBf16>({.steps = 3, .batch_size = 1, .hidden = 8}, 8, 1);
  check_grid<kCell, 2, 8, kBf16>({.steps = 3, .batch_size = 19, .hidden = 37}, 16, 2);
  check_grid<kCell, 1, 8, kBf16>({.steps = 2, .batch_size = 3, .hidden = 21, .from_rows = false}, 8,
                                 1);
}

// In bf16 a cluster of up to sixteen blocks holds larger weights.
TYPED_TEST(CudaCell, OfALargeClusterInBf16IsLibTorchs) {
  constexpr auto kCell = TypeParam::value;
  check_cluster<kCell, 512, 8, Operands::kBf16>({.steps = 2, .batch_size = 9, .hidden = 300}, 1);
}

TEST(CudaRnn, Of512UnitsIsLibTorchs) {
  const LayerCase c{.steps = 2, .batch_size = 4, .hidden = 300};
  check_cluster<CellKind::kRnn, 512, 2>(c, 2);
  check_cluster<CellKind::kRnnRelu, 512, 2>(c, 2);
}

TEST(CudaRnn, Of1024UnitsInBf16IsLibTorchs) {
  constexpr auto kBf16 = Operands::kBf16;
  const LayerCase c{.steps = 2, .batch_size = 9, .hidden = 1000};
  check_cluster<CellKind::kRnn, 1024, 8, kBf16>(c, 1);
  check_cluster<CellKind::kRnnRelu, 1024, 8, kBf16>(c, 1);
}

TEST(CudaRnn, ReluPassesAGradientWhereItPassedTheSum) {
  EXPECT_EQ(Relu::back(3, 0.5F), 3);
  EXPECT_EQ(Relu::back(3, 0), 0);
  EXPECT_EQ(Relu::back(3, std::numeric_limits<float>::quiet_NaN()), 3);
}

TYPED_TEST(CudaCell, GeneratesFromTheStatesOfTheLayer) {
  constexpr auto kCell = TypeParam::value;
  constexpr int64_t T = 3, B = 3, H = 40, V = 7;
  const ExpectedLayer layer({.cell = kCell, .steps = T, .batch_size = B, .hidden = H});
  const auto W_hq = torch::randn({H, V});
  const auto b_q = torch::randn({V});
  auto h_after = torch::zeros({B, H});
  auto c_after = torch::zeros({B, H});
  auto taken = torch::zeros({T, B}, torch::kInt64);
  const GenerateArguments a{.steps = T,
                            .batch_size = B,
                            .hidden = H,
                            .vocab_size = V,
                            .x = read(layer.x),
                            .W_h = read(layer.W_h),
                            .b_hh = read(layer.b_hh),
                            .W_hq = read(W_hq),
                            .b_q = read(b_q),
                            .fed = layer.row.template const_data_ptr<int64_t>(),
                            .never = -1,
                            .h_before = read(layer.h_before),
                            .c_before = read(layer.c_before),
                            .h_after = h_after.data_ptr<float>(),
                            .c_after = c_after.data_ptr<float>(),
                            .taken = taken.data_ptr<int64_t>(),
                            .exchange = {}};
  constexpr int kBlocks = 2;
  const Grid grid{
      .blocks = kBlocks,
      .threads = kThreads,
      .cluster = kBlocks,
      .shared_bytes = cluster_layout(kCell, false, 128, 2, Operands::kFloat32).end * sizeof(float)};
  run(grid, [&] { cluster_generate<kCell, 128, 2>(a, kBlocks); });
  const auto last = layer.h.narrow(0, (T - 1) * B, B);
  EXPECT_TRUE(all_close(h_after, last, 2e-5));
  if (has_c(kCell)) {
    EXPECT_TRUE(all_close(c_after, layer.c.narrow(0, (T - 1) * B, B), 2e-5));
  }
  EXPECT_TRUE(taken[T - 1].equal((last.mm(W_hq) + b_q).argmax(1)));
}

TYPED_TEST(CudaCell, KeepsNan) {
  constexpr auto kCell = TypeParam::value;
  if constexpr (kCell != CellKind::kGruBefore) {  // which has no Cell
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    for (int gate = 0; gate < gate_count(kCell); ++gate) {
      float x[gate_count(kCell)] = {};
      x[gate] = kNan;
      Cell<kCell> cell;
      cell.h = 1;
      cell.step({}, x);
      EXPECT_TRUE(std::isnan(cell.h)) << "gate " << gate;
    }
  }
}

}  // namespace
}  // namespace unroll::cuda
