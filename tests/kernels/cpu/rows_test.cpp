#include "kernels/cpu/matrices/rows.h"

#include "kernels/cpu/each_target.h"
#include "kernels/cpu/matrices/pack.h"

namespace unroll::cpu {
namespace {

using Rows = EachTarget;

TEST_P(Rows, SumBySlot) {
  const auto original = values(9 * 70);
  const std::vector<int32_t> slot{0, 2, 2, 1, 0, 0, 2, 2, 0};
  for (const bool into_one : {false, true}) {
    Activations from;
    from.resize(3, 3, 70, 48, {.right = into_one});
    copy_rows_in(original.data(), 0, 9, 70, from.values());
    Panels sums = panels(3, 70, 48);  // holds something that must go
    for (int64_t p = 0; p < from.values().panels(); ++p) {
      sum_rows(from, into_one ? nullptr : slot.data(), p, sums);
    }
    for (int64_t s = 0; s < 3; ++s) {
      for (int64_t c = 0; c < 70; ++c) {
        float expected = 0;
        for (int64_t r = 0; r < 9; ++r) {
          expected += (into_one ? 0 : slot[r]) == s ? original[r * 70 + c] : 0;
        }
        EXPECT_FLOAT_EQ(*sums.at(s, c), expected);
      }
    }
  }
}

TEST_P(Rows, CopyInAndOutAgain) {
  const auto from = values(3 * 70);
  auto to = panels(4, 70);
  copy_rows_in(from.data(), 0, 3, 70, to);
  std::vector<float> back(2 * 70);
  copy_rows_out(to, 1, 2, 70, back.data());
  EXPECT_TRUE(std::equal(back.begin(), back.end(), from.begin() + 70));
  EXPECT_EQ(*(to.at(2, 69) + 1), 0);
}

TEST_P(Rows, APartOfAStepIsCopiedOut) {
  Activations from;
  from.resize(2, 3, 40, kStatePanel, {});
  const auto original = values(2 * 3 * 40);
  copy_rows_in(original.data(), 0, 6, 40, from.values());
  std::vector<float> to(3 * 40, 7);
  copy_part_out(from, 1, {.row = 1, .rows = 2, .column = 16, .columns = 32}, to.data());
  for (int64_t b = 0; b < 3; ++b) {
    for (int64_t c = 0; c < 40; ++c) {
      EXPECT_EQ(to[b * 40 + c], b < 1 || c < 16 ? 7 : original[(3 + b) * 40 + c]);
    }
  }
}

TEST_P(Rows, PackedWeightsComeBack) {
  for (const int64_t gates_count : {1, 2, 3, 4}) {
    for (const int64_t hidden : {1, 16, 37, 80}) {
      SCOPED_TRACE(::testing::Message() << gates_count << " gates, hidden " << hidden);
      const int64_t K = draw(1, 40);
      const Gates gates{.count = gates_count, .hidden = hidden};
      Weights packed;
      Weights transposed;
      packed.resize(K, gates.columns(), gates.width(), 0);
      transposed.resize(gates.columns(), K, kPanel, 0);
      std::vector<std::vector<float>> W;
      for (int64_t g = 0; g < gates_count; ++g) {
        W.push_back(values(K * hidden));
        // Once row by row and once, for odd gates, as torch::nn lays it out.
        const StridedMatrix matrix = g % 2 == 0 ? StridedMatrix{W[g].data(), K, hidden, hidden, 1}
                                                : StridedMatrix{W[g].data(), K, hidden, 1, K};
        const int64_t blocks = (K + kBlock - 1) / kBlock;
        pack(matrix, gates, g, 0, blocks, packed);
        pack_transposed(matrix, gates, g, 0, blocks, transposed);
        for (int64_t k = 0; k < K; ++k) {
          for (int64_t n = 0; n < hidden; ++n) {
            const int64_t column = gates.column(n / kBlock, g) + n % kBlock;
            EXPECT_EQ(*packed.values().at(k, column), matrix(k, n));
            EXPECT_EQ(*transposed.values().at(column, k), matrix(k, n));
          }
        }
      }
    }
  }
}

UNROLL_EACH_TARGET(Rows);

}  // namespace
}  // namespace unroll::cpu
