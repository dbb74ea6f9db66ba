#include "kernels/cpu/matrices/tiles.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cpu/each_target.h"
#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/pack.h"
#include "kernels/cpu/matrices/product.h"
#include "kernels/cpu/matrices/rows.h"
#include "kernels/cpu/matrices/weight_gradients.h"
#include "kernels/cpu/matrices/weights.h"

namespace unroll::cpu {
namespace {

float value_of(Bf16 half) { return std::bit_cast<float>(static_cast<uint32_t>(half) << 16); }

// How far a value in so many parts may be from the value, relative to it.
double unit_of(int parts) { return parts == 1 ? 1.0 / 256 : 1.0 / 65536; }

class TilesOfEachTarget : public EachTarget {
 protected:
  // Steps of random rows, and the same as tiles on both sides.
  struct Matrix {
    std::vector<float> values;
    Activations tiles;
  };
  Matrix matrix(int64_t steps, int64_t batch_size, int64_t columns, int64_t width, int parts) {
    Matrix result;
    result.values = values(steps * batch_size * columns);
    result.tiles.resize(steps, batch_size, columns, width, {.parts = parts, .right = true});
    copy_rows_in(result.values.data(), 0, steps * batch_size, columns, result.tiles.values());
    values_to_tiles(0, steps, result.tiles);
    return result;
  }

  std::vector<float> packed_values(int64_t K, int64_t N, int parts, Weights& packed) {
    auto W = values(K * N);
    packed.resize(K, N, kPanel, parts);
    pack({W.data(), K, N, N, 1}, {.count = 1, .hidden = N}, 0, 0, (K + kBlock - 1) / kBlock,
         packed);
    return W;
  }
};

TEST_P(TilesOfEachTarget, HoldAValueAsExactlyAsTheirPartsCan) {
  for (const int parts : {1, 2}) {
    const auto m = matrix(3, 21, 37, kPanel, parts);
    std::vector<float> back(21 * 37);
    for (int64_t t = 0; t < 3; ++t) {
      Activations left;
      left.resize(3, 21, 37, kPanel, {.values = false, .parts = parts});
      copy_step_in(m.values.data() + t * 21 * 37, t, left);
      copy_step_out(left, t, back.data());
      for (std::size_t i = 0; i < back.size(); ++i) {
        const double value = m.values[static_cast<std::size_t>(t * 21 * 37) + i];
        EXPECT_NEAR(back[i], value, unit_of(parts) * std::abs(value));
      }
    }
  }
}

TEST_P(TilesOfEachTarget, RoundToTheNearestTiesToEvenAndKeepWhatIsNotFinite) {
  const auto of = [](uint32_t bits) { return std::bit_cast<float>(bits); };
  const std::vector<float> from{of(0x3F808000),
                                of(0x3F818000),
                                of(0x3F808001),
                                of(0xBF80FFFF),
                                std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN()};
  const std::vector<float> expected{of(0x3F800000), of(0x3F820000), of(0x3F810000), of(0xBF810000),
                                    std::numeric_limits<float>::infinity()};
  Activations left;
  left.resize(1, 1, 6, kPanel, {.values = false, .parts = 1});
  copy_step_in(from.data(), 0, left);
  std::vector<float> back(6);
  copy_step_out(left, 0, back.data());
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), back.begin()));
  EXPECT_TRUE(std::isnan(back[5]));
}

TEST_P(TilesOfEachTarget, PackedWeightsStandWhereProductsLookForThem) {
  for (const int64_t gates_count : {1, 2, 3, 4}) {
    for (const int64_t hidden : {1, 16, 37, 80}) {
      SCOPED_TRACE(::testing::Message() << gates_count << " gates, hidden " << hidden);
      const int64_t K = draw(1, 70);
      const Gates gates{.count = gates_count, .hidden = hidden};
      Weights packed;
      Weights transposed;
      packed.resize(K, gates.columns(), gates.width(), 2);
      transposed.resize(gates.columns(), K, kPanel, 2);
      const auto at = [](const Weights& of, int64_t k, int64_t column) {
        const auto& tiles = of.tiles();
        const Bf16* const tile = tiles.at(k / kTileDepth, column / kBlock * kBlock);
        const int64_t i = k % kTileDepth / 2 * kTileDepth + column % kBlock * 2 + k % 2;
        return value_of(tile[i]) + value_of(tile[i + tiles.part_stride()]);
      };
      for (int64_t g = 0; g < gates_count; ++g) {
        auto W = values(K * hidden);
        const StridedMatrix matrix = g % 2 == 0 ? StridedMatrix{W.data(), K, hidden, hidden, 1}
                                                : StridedMatrix{W.data(), K, hidden, 1, K};
        const int64_t blocks = (K + kBlock - 1) / kBlock;
        pack(matrix, gates, g, 0, blocks, packed);
        pack_transposed(matrix, gates, g, 0, blocks, transposed);
        for (int64_t k = 0; k < K; ++k) {
          for (int64_t n = 0; n < hidden; ++n) {
            const double unit = unit_of(2) * std::abs(matrix(k, n));
            const int64_t column = gates.column(n / kBlock, g) + n % kBlock;
            ASSERT_NEAR(at(packed, k, column), matrix(k, n), unit);
            ASSERT_NEAR(at(transposed, column, k), matrix(k, n), unit);
          }
        }
      }
    }
  }
}

TEST_P(TilesOfEachTarget, ProductsAreThePlainSumsOverRandomShapes) {
  for (int n = 0; n < 24; ++n) {
    const int parts = 1 + n % 2;
    const int64_t B = draw(1, 70);
    const int64_t steps = draw(1, 3);
    const int64_t K = draw(1, 100);
    const int64_t N = draw(1, 150);
    const bool accumulate = n % 3 == 0;
    SCOPED_TRACE(::testing::Message()
                 << parts << " parts, " << steps << " steps of " << B << "x" << K << "x" << N);
    const auto A = matrix(steps + 1, B, K, kPanel, parts);
    Weights W;
    const auto weights = packed_values(K, N, parts, W);
    Panels C;
    C.resize(steps * B, N);
    std::fill_n(C.at(0, 0), C.size(), 2.0F);
    multiply_steps(A.tiles, 1, W, nullptr, accumulate, C);
    for (int64_t r = 0; r < steps * B; ++r) {
      for (int64_t j = 0; j < N; ++j) {
        double expected = accumulate ? 2 : 0;
        double size = 1;
        for (int64_t k = 0; k < K; ++k) {
          const double product =
              static_cast<double>(A.values[(B + r) * K + k]) * weights[k * N + j];
          expected += product;
          size += std::abs(product);
        }
        ASSERT_NEAR(*C.at(r, j), expected, 2.5 * unit_of(parts) * size) << r << ", " << j;
      }
    }
  }
}

TEST_P(TilesOfEachTarget, ProductsOfARowDoNotDependOnItsNeighbours) {
  for (const int parts : {1, 2}) {
    const auto A = matrix(2, 32, 77, kPanel, parts);
    Weights W;
    Weights V;
    packed_values(77, kPanel, parts, W);
    packed_values(77, kPanel, parts, V);
    const StepTerm terms[2] = {{&A.tiles, 0, &W}, {&A.tiles, 1, &V}};
    alignas(64) float together[32 * kPanel];
    alignas(64) float alone[32 * kPanel];
    const TileScope scope(parts);
    multiply_step(terms, 0, 32, 0, {.C = together});
    multiply_step(terms, 16, 16, 0, {.C = alone});
    EXPECT_TRUE(std::equal(alone, alone + 16 * kPanel, together + 16 * kPanel));
  }
}

TEST_P(TilesOfEachTarget, WeightGradientsAreThePlainSumsOverRandomShapes) {
  for (int n = 0; n < 18; ++n) {
    // The last ones are so long that they go in blocks of depth, or their transposed chunks in
    // groups.
    const bool is_long = n >= 16;
    const int parts = 1 + n % 2;
    const int64_t B = is_long ? 1 : draw(1, 40);
    const int64_t T = is_long ? 40 : draw(1, 4);
    const int64_t H = is_long ? 200 : draw(1, 90);
    const Gates gates{.count = draw(1, 4), .hidden = is_long ? 20 : draw(1, 70)};
    SCOPED_TRACE(::testing::Message() << parts << " parts, T " << T << " B " << B << " H " << H
                                      << ", " << gates.count << " gates of " << gates.hidden);
    // The gradient of each gate's columns at gates.column(); the first term's rows are one step on.
    const auto h = matrix(T + 1, B, H, kPanel, parts);
    const auto dz = matrix(T, B, gates.columns(), gates.width(), parts);
    std::vector<std::vector<float>> results(static_cast<std::size_t>(gates.count));
    std::vector<StridedMatrix> places;
    GradientTerm term{.dz = &dz.tiles, .first_step = n % 2, .gates = gates, .gradients = {}};
    for (int64_t g = 0; g < gates.count; ++g) {
      results[g].assign(static_cast<std::size_t>(H * gates.hidden), -7.0F);
      places.push_back(g % 2 == 0
                           ? StridedMatrix{results[g].data(), H, gates.hidden, gates.hidden, 1}
                           : StridedMatrix{results[g].data(), H, gates.hidden, 1, H});
    }
    for (int64_t g = 0; g < gates.count; ++g) {
      term.gradients.push_back(g == 3 ? nullptr : &places[g]);
    }
    weight_gradients(h.tiles, {&term, 1});
    for (int64_t g = 0; g < gates.count; ++g) {
      for (int64_t i = 0; i < H; ++i) {
        for (int64_t u = 0; u < gates.hidden; ++u) {
          if (g == 3) {
            ASSERT_EQ(places[g](i, u), -7.0F);
            continue;
          }
          double expected = 0;
          double size = 1;
          for (int64_t r = 0; r < T * B; ++r) {
            const double product =
                static_cast<double>(h.values[(term.first_step * B + r) * H + i]) *
                dz.values[r * gates.columns() + gates.column(u / kBlock, g) + u % kBlock];
            expected += product;
            size += std::abs(product);
          }
          ASSERT_NEAR(places[g](i, u), expected, 2.5 * unit_of(parts) * size)
              << "gate " << g << ": " << i << ", " << u;
        }
      }
    }
  }
}

TEST_P(TilesOfEachTarget, RowsSumBySlot) {
  for (const auto& [parts, width] : {std::pair{1, 48}, {2, 48}, {1, 64}, {2, 64}}) {
    const auto from = matrix(3, 7, 70, width, parts);
    std::vector<int32_t> slot;
    for (int64_t r = 0; r < 21; ++r) {
      slot.push_back(static_cast<int32_t>(draw(0, 2)));
    }
    for (const bool into_one : {false, true}) {
      auto sums = panels(3, 70, width);  // holds something that must go
      for (int64_t p = 0; p < sums.panels(); ++p) {
        sum_rows(from.tiles, into_one ? nullptr : slot.data(), p, sums);
      }
      for (int64_t s = 0; s < 3; ++s) {
        for (int64_t c = 0; c < 70; ++c) {
          double expected = 0;
          for (int64_t r = 0; r < 21; ++r) {
            expected += (into_one ? 0 : slot[r]) == s ? from.values[r * 70 + c] : 0;
          }
          EXPECT_NEAR(*sums.at(s, c), expected, 30 * unit_of(parts));
        }
      }
    }
  }
}

TEST_P(TilesOfEachTarget, ASmallerBatchLeavesNothingBehind) {
  auto m = matrix(2, 30, 20, kPanel, 1);
  m.tiles.resize(2, 3, 20, kPanel, {.parts = 1, .right = true});
  const auto& left = m.tiles.left();
  const auto& right = m.tiles.right();
  EXPECT_TRUE(std::all_of(left.at(0, 0), left.at(0, 0) + left.part_stride(),
                          [](Bf16 value) { return value == 0; }));
  EXPECT_TRUE(std::all_of(right.at(0, 0), right.at(0, 0) + right.part_stride(),
                          [](Bf16 value) { return value == 0; }));
}

UNROLL_EACH_TILE_TARGET(TilesOfEachTarget);

}  // namespace
}  // namespace unroll::cpu
