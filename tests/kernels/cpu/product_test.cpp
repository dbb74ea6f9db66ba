#include "kernels/cpu/matrices/product.h"

#include <algorithm>
#include <utility>

#include "kernels/cpu/each_target.h"
#include "kernels/cpu/matrices/pack.h"
#include "kernels/cpu/matrices/panel_product.h"
#include "kernels/cpu/matrices/weight_gradients.h"
#include "kernels/cpu/threads.h"

namespace unroll::cpu {
namespace {

using Product = EachTarget;

// Rounding of a sum of K products of normal values.
double tolerance(int64_t K) { return 1e-6 * (1 + static_cast<double>(K)); }

TEST_P(Product, IsThePlainSumOverRandomShapes) {
  for (int n = 0; n < 60; ++n) {
    const int64_t rows = draw(1, 20);
    const int64_t first_row = draw(0, 3);
    const int64_t K = draw(1, n % 5 == 0 ? 1200 : 70);
    const int64_t N = draw(1, 150);
    const int64_t a_width = kBlock * draw(1, 4);
    const int64_t b_width = kBlock * draw(1, 4);
    const bool accumulate = n % 2 == 1;
    SCOPED_TRACE(::testing::Message() << rows << "x" << K << "x" << N << " widths " << a_width
                                      << " " << b_width << " first row " << first_row);
    const auto A = panels(first_row + rows, K, a_width);
    const auto B = panels(K, N, b_width, n % 2 == 0 ? b_width : kBlock);
    for (int64_t p = 0; p < B.panels(); ++p) {
      alignas(64) float C[20 * kPanel];
      std::fill_n(C, rows * kPanel, accumulate ? 2.0F : -9.0F);
      multiply(A, first_row, rows, {.B = B, .p = p, .depth = K},
               {.C = C, .accumulate = accumulate});
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < std::min(b_width, N - p * b_width); ++j) {
          double expected = accumulate ? 2 : 0;
          for (int64_t k = 0; k < K; ++k) {
            expected += static_cast<double>(*A.at(first_row + i, k)) * *B.at(k, p * b_width + j);
          }
          ASSERT_NEAR(C[i * kPanel + j], expected, tolerance(K)) << i << ", " << p * b_width + j;
        }
      }
    }
  }
}

TEST_P(Product, OfTheTransposedIsThePlainSumOverRandomShapes) {
  for (int n = 0; n < 40; ++n) {
    const int64_t M = draw(1, 150);
    const int64_t first_row = draw(0, 3);
    const int64_t K = draw(1, n % 4 == 0 ? 1200 : 40);
    const int64_t N = draw(1, 150);
    const int64_t a_width = kBlock * draw(1, 4);
    const int64_t b_width = kBlock * draw(1, 4);
    SCOPED_TRACE(::testing::Message()
                 << M << "x" << K << "x" << N << " widths " << a_width << ", " << b_width);
    const auto A = panels(first_row + K, M, a_width);
    const auto B = panels(K, N, b_width, n % 2 == 0 ? b_width : kBlock);
    const int64_t a = draw(0, A.panels() - 1);
    const int64_t a_end = draw(a + 1, A.panels());
    const int64_t b = draw(0, B.panels() - 1);
    const int64_t begin = a * a_width;
    const int64_t end = std::min(a_end * a_width, M);
    AlignedArray<float> C;
    C.assign_zeros((a_end - a) * a_width * kPanel);
    // In two parts, the second of which is added; fetching what comes next changes nothing.
    const int64_t part = draw(1, K);
    multiply_transposed(
        A, first_row, begin, end,
        {.B = B, .p = b, .depth = part, .next = part < K ? B.at(part, b * b_width) : nullptr},
        {.C = C.data()});
    if (part < K) {
      multiply_transposed(A, first_row, begin, end, {.B = B, .p = b, .k = part, .depth = K - part},
                          {.C = C.data(), .accumulate = true});
    }
    for (int64_t i = 0; i < end - begin; ++i) {
      for (int64_t j = 0; j < std::min(b_width, N - b * b_width); ++j) {
        double expected = 0;
        for (int64_t k = 0; k < K; ++k) {
          expected +=
              static_cast<double>(*A.at(first_row + k, begin + i)) * *B.at(k, b * b_width + j);
        }
        ASSERT_NEAR(C.data()[i * kPanel + j], expected, tolerance(K)) << i << ", " << j;
      }
    }
  }
}

TEST_P(Product, IsTheSameBitsInAndOutOfAnyStrips) {
  constexpr int64_t kRows = 13;
  constexpr int64_t kWidth = 48;
  const auto A = panels(kRows, 600, kStatePanel);
  // The wide one is more than stays in a third-level cache, and so read in another way.
  for (const auto& [columns, from] :
       {std::pair<int64_t, int64_t>{100, kBlock}, {100, kWidth}, {4000, kBlock}}) {
    const auto B = panels(600, columns, kWidth, from);
    for (const int64_t to : {kBlock, kWidth}) {
      SCOPED_TRACE(::testing::Message() << "from strips of " << from << " to " << to);
      for (int64_t p = std::max<int64_t>(0, B.panels() - 3); p < B.panels(); ++p) {
        alignas(64) float expected[kRows * kPanel];
        multiply(A, 0, kRows, {.B = B, .p = p, .depth = 600}, {.C = expected});
        Panels C;
        C.resize(kRows, columns, kWidth, to);
        multiply(A, 0, kRows, {.B = B, .p = p, .depth = 600, .next = B.at(0, 0)},
                 {.C = C.at(0, p * kWidth), .stride = to, .strip_stride = C.strip_stride()});
        for (int64_t i = 0; i < kRows; ++i) {
          for (int64_t j = 0; j < B.panel_columns(p); ++j) {
            ASSERT_EQ(*C.at(i, p * kWidth + j), expected[i * kPanel + j]) << i << ", " << j;
          }
        }
      }
    }
  }
}

TEST_P(Product, OfARowDoesNotDependOnItsNeighbours) {
  const auto A = panels(13, 77);
  const auto B = panels(77, kPanel);
  const RightSide right{.B = B, .depth = 77};
  alignas(64) float together[13 * kPanel];
  alignas(64) float alone[kPanel];
  multiply(A, 0, 13, right, {.C = together});
  for (int64_t i = 0; i < 13; ++i) {
    multiply(A, i, 1, right, {.C = alone});
    for (int64_t j = 0; j < kPanel; ++j) {
      EXPECT_EQ(alone[j], together[i * kPanel + j]);
    }
  }
}

TEST_P(Product, OfAPartOfTheDepthAddsUpToTheSameBits) {
  // More than is passed over at a time, of panels of any width; few rows wait for what they read.
  constexpr int64_t kMost = 32;
  for (const auto& [rows, a_width] : {std::pair<int64_t, int64_t>{1, 16}, {9, 48}, {kMost, 64}}) {
    const int64_t K = 1200;
    const auto A = panels(rows, K, a_width);
    const auto B = panels(K, 80, 48);
    for (int64_t p = 0; p < B.panels(); ++p) {
      alignas(64) float whole[kMost * kPanel];
      alignas(64) float added[kMost * kPanel];
      multiply(A, 0, rows, {.B = B, .p = p, .depth = K}, {.C = whole});
      const int64_t half = 12 * a_width;
      // Fetching what comes next changes nothing.
      multiply(A, 0, rows, {.B = B, .p = p, .depth = half, .next = B.at(half, p * 48)},
               {.C = added});
      multiply(A, 0, rows, {.B = B, .p = p, .k = half, .depth = K - half, .next = B.at(0, 0)},
               {.C = added, .accumulate = true});
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < B.panel_columns(p); ++j) {
          ASSERT_EQ(whole[i * kPanel + j], added[i * kPanel + j]) << i << ", " << j;
        }
      }
    }
  }
}

TEST_P(Product, OfAllStepsIsThePlainSum) {
  // More depth and rows than stay in a cache at once; and few rows, of which threads get panels
  struct Case {
    int64_t steps;
    int64_t batch_size;
    int64_t K;
    int64_t N;
    bool accumulate;
  };
  for (const auto& [steps, batch_size, K, N, accumulate] :
       {Case{350, 2, 1100, 70, false}, Case{350, 2, 1100, 70, true}, Case{1, 3, 40, 300, true}}) {
    SCOPED_TRACE(::testing::Message() << steps << " steps, K " << K << ", " << accumulate);
    const int64_t rows = steps * batch_size;
    Activations A;
    A.resize(steps + 1, batch_size, K, kStatePanel, {});
    A.values() = panels(rows + batch_size, K, kStatePanel);
    Weights B;
    B.resize(K, N, kPanel, 0);
    B.values() = panels(K, N);
    const auto start = panels(1, N);
    const float before = 0.5F;
    Panels C;
    C.resize(rows, N);
    std::fill_n(C.at(0, 0), C.size(), before);
    multiply_steps(A, 1, B, accumulate ? nullptr : &start, accumulate, C);
    for (const int64_t i : {int64_t{0}, rows / 2, rows - 1}) {
      for (const int64_t j : {int64_t{0}, int64_t{63}, int64_t{64}, N - 1}) {
        double expected = accumulate ? before : *start.at(0, j);
        for (int64_t k = 0; k < K; ++k) {
          expected += static_cast<double>(*A.values().at(batch_size + i, k)) * *B.values().at(k, j);
        }
        EXPECT_NEAR(*C.at(i, j), expected, tolerance(K)) << i << ", " << j;
      }
    }
  }
}

TEST_P(Product, GradientsOfManyRowsAreThePlainSumHoweverTheyAreCut) {
  // Several squares, the last ones not whole, and more rows than one takes at once
  const int64_t steps = 100;
  const int64_t batch_size = 11;
  const int64_t H = 300;
  const Gates gates{.count = 3, .hidden = 107};
  Activations A;
  A.resize(steps + 1, batch_size, H, kStatePanel, {});
  A.values() = panels((steps + 1) * batch_size, H, kStatePanel);
  Activations dz;
  dz.resize(steps, batch_size, gates.columns(), gates.width(), {});
  dz.values() = panels(steps * batch_size, gates.columns(), gates.width(),
                       strip_of_right_side(gates.width()));
  const auto gradients = [&](int64_t threads) {
    const Threads scope(threads);
    std::vector<float> result(static_cast<std::size_t>(gates.count * H * gates.hidden));
    std::vector<StridedMatrix> places;
    GradientTerm term{.dz = &dz, .first_step = 1, .gates = gates, .gradients = {}};
    for (int64_t g = 0; g < gates.count; ++g) {
      places.push_back({result.data() + g * H * gates.hidden, H, gates.hidden, gates.hidden, 1});
    }
    for (const auto& place : places) {
      term.gradients.push_back(&place);
    }
    weight_gradients(A, {&term, 1});
    return result;
  };
  const auto of_one_thread = gradients(1);
  for (const int64_t threads : {3, 16}) {
    EXPECT_EQ(of_one_thread, gradients(threads)) << threads << " threads";
  }
  for (const int64_t i : {int64_t{0}, int64_t{159}, int64_t{160}, H - 1}) {
    for (const int64_t u : {int64_t{0}, int64_t{90}, gates.hidden - 1}) {
      for (int64_t g = 0; g < gates.count; ++g) {
        double expected = 0;
        for (int64_t r = 0; r < steps * batch_size; ++r) {
          expected += static_cast<double>(*A.values().at(batch_size + r, i)) *
                      *dz.values().at(r, gates.column(u / kBlock, g) + u % kBlock);
        }
        EXPECT_NEAR(of_one_thread[(g * H + i) * gates.hidden + u], expected,
                    tolerance(steps * batch_size))
            << i << ", " << u << " of gate " << g;
      }
    }
  }
}

TEST_P(Product, ABlockGoesBackToWhereverItsMatrixLies) {
  const int64_t rows = 40;  // two whole blocks and a half
  for (const int64_t columns : {16, 5}) {
    const auto C = values(rows * kPanel);
    // Rows of the matrix, columns of it, and neither, lie in consecutive memory.
    for (const auto& [row_stride, column_stride] :
         {std::pair<int64_t, int64_t>{50, 1}, {1, 60}, {120, 2}}) {
      SCOPED_TRACE(::testing::Message() << columns << " columns, stride " << column_stride);
      std::vector<float> memory(60 * 120, -1.0F);
      const StridedMatrix W{memory.data(), 50, 30, row_stride, column_stride};
      unpack_block(C.data(), kPanel, rows, columns, 7, 3, W);
      int64_t written = 0;
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j, ++written) {
          ASSERT_EQ(W(7 + i, 3 + j), C[i * kPanel + j]) << i << ", " << j;
        }
      }
      EXPECT_EQ(std::count(memory.begin(), memory.end(), -1.0F),
                static_cast<int64_t>(memory.size()) - written);
    }
  }
}

UNROLL_EACH_TARGET(Product);

}  // namespace
}  // namespace unroll::cpu
