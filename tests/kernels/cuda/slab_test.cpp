#include "kernels/cuda/slab.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <limits>
#include <type_traits>

#include "base/formatted.h"
#include "emulation/simt_on_cpu.h"
#include "kernels/cuda/shapes.h"
#include "kernels/cuda/tile_slab.h"
#include "support/all_close.h"

namespace unroll::cuda {
namespace {

// A matrix (depth, columns).
struct MatrixWeights {
  const float* values;
  int columns;

  int column(int n) const { return n < columns ? n : -1; }
  float at(int k, int column) const { return column >= 0 ? values[k * columns + column] : 0.0F; }
};

// A product of a block, by such a slab.
template <typename Slab>
void check_product(int depth, int columns) {
  SCOPED_TRACE(formatted("depth {}, columns {}", depth, columns));
  constexpr int S = kTileSequences;
  at::manual_seed(2);
  const auto weights = torch::randn({depth, columns});
  const auto values = torch::randn({depth, S});
  auto actual = torch::full({S, columns}, std::numeric_limits<float>::quiet_NaN());
  const auto* v = values.const_data_ptr<float>();
  const int most = in_tiles(depth) * kTile + kWarps * 4 * kTile;  // more than any slab's depth
  const int partials = most / 2 * S;
  const int slab_at = in_fours(partials + kWarps * S * columns);
  const Grid grid{.blocks = 1,
                  .threads = kThreads,
                  .shared_bytes = (slab_at + tile_floats(depth, columns) + 4) * sizeof(float)};
  run(grid, [&] {
    float* shared = shared_memory();
    auto* pairs = reinterpret_cast<uint32_t*>(shared);
    const auto value = [&](int k, int s) { return k < depth ? v[k * S + s] : 0.0F; };
    for (int i = thread_index(); i < partials; i += kThreads) {
      const int k = i / S * 2;
      pairs[i] = round_to_bf16(value(k, i % S), value(k + 1, i % S));
    }
    auto slab = [&] {
      if constexpr (std::is_constructible_v<Slab, float*>) {
        return Slab(shared + slab_at);
      } else {
        return Slab();
      }
    }();
    slab.load(depth, columns, MatrixWeights{weights.const_data_ptr<float>(), columns});
    sync_block();
    slab.template multiply<S>(pairs, shared + partials);
    sync_block();
    for (int i = thread_index(); i < S * columns; i += kThreads) {
      actual.data_ptr<float>()[i] =
          sum_of<S>(shared + partials, slab.slices(), columns, i / columns, i % columns);
    }
  });
  const auto rounded = [](const torch::Tensor& t) {
    return t.to(torch::kBFloat16).to(torch::kFloat32);
  };
  EXPECT_TRUE(all_close(actual, rounded(values).t().mm(rounded(weights)), 1e-4));
}

TEST(CudaTiles, OfRegistersMultiplyWhatIsRounded) {
  check_product<RegisterTileSlab<1, 2>>(256, 32);
  check_product<RegisterTileSlab<1, 2>>(101, 19);
  check_product<RegisterTileSlab<2, 4>>(512, 64);
  check_product<RegisterTileSlab<4, 2>>(777, 32);
  check_product<RegisterTileSlab<1, 6>>(256, 96);
  check_product<RegisterTileSlab<1, 8>>(250, 128);
}

TEST(CudaTiles, OfSharedMemoryMultiplyWhatIsRounded) {
  check_product<SharedTileSlab<1>>(8, 8);
  check_product<SharedTileSlab<2>>(333, 50);
  check_product<SharedTileSlab<2>>(512, 64);
}

TEST(CudaTiles, RoundAsLibTorchDoes) {
  const auto values = torch::cat({torch::randn({1000}) * torch::logspace(-30, 30, 1000),
                                  torch::tensor({0.0F, -0.0F, 1.00390625F, 1.01171875F, 3e38F})});
  const auto expected = values.to(torch::kBFloat16);
  for (int64_t i = 0; i < values.numel(); ++i) {
    const float value = values.const_data_ptr<float>()[i];
    const uint32_t both = round_to_bf16(0, value);
    EXPECT_EQ(both >> 16U, expected.const_data_ptr<at::BFloat16>()[i].x) << value;
    EXPECT_EQ(both & 0xFFFFU, 0U);
  }
}

}  // namespace
}  // namespace unroll::cuda
