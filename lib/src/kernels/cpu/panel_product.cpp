#include "kernels/cpu/panel_product.h"

#include <algorithm>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/panel_product.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, kBlock>;
using Vector = hn::Vec<Tag>;
constexpr int64_t kLanes = hn::MaxLanes(Tag());

// A tile of C stays in registers: rows x vectors of sums, the vectors of B beside it and one value
// of A. With 32 registers (AVX-512) that is up to 6x4, which reaches 95 % of the peak of
// multiply-adds on a Zen 4 core (unroll_kernels_benchmark --benchmark_filter=Multiply), with 16
// (AVX2) 6x2.
constexpr int64_t kTileColumns = kLanes == kBlock ? kPanel : std::min(kBlock, 2 * kLanes);
constexpr int kMostRows = 6;

// Rows of B that a tile of A^T B passes over before it is written: so many that writing it is
// little, so few that they stay in a cache near by (unroll_kernels_benchmark
// --benchmark_filter=Transposed).
constexpr int64_t kRowsAtATime = kLanes == kBlock ? 192 : 96;

// Where A's value for row i of the tile and sum index k stands: k runs along a row of A, or down
// its column.
enum class Left { kRows, kColumns };

// Adds `count` products to the sums of one tile.
template <Left left, int M, int N>
HWY_INLINE void add_products(const float* HWY_RESTRICT a, int64_t a_stride,
                             const float* HWY_RESTRICT b, int64_t b_stride, int64_t count,
                             Vector (&sums)[M][N]) {
  const Tag d;
#pragma GCC unroll 8
  for (int64_t k = 0; k < count; ++k) {
    Vector row[N];
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      row[j] = hn::Load(d, b + k * b_stride + j * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) {
      const auto value =
          hn::Set(d, left == Left::kRows ? a[i * a_stride + k] : a[k * a_stride + i]);
#pragma GCC unroll 16
      for (int j = 0; j < N; ++j) {
        sums[i][j] = hn::MulAdd(value, row[j], sums[i][j]);
      }
    }
  }
}

// What a tile is computed from. Along A's rows the sum runs through A's panels, of which this is
// the first.
struct Operands {
  const float* a;
  int64_t a_stride;
  int64_t a_panel_stride;
  int64_t a_width;
  const float* b;
  int64_t b_stride;
  int64_t k;
  float* c;
  int64_t c_stride;
  bool accumulate;
};

template <Left left, int M, int N>
HWY_NOINLINE void tile(const Operands& o) {
  const Tag d;
  Vector sums[M][N];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      sums[i][j] = o.accumulate ? hn::Load(d, o.c + i * o.c_stride + j * kLanes) : hn::Zero(d);
    }
  }
  if constexpr (left == Left::kRows) {
    const float* a = o.a;
    int64_t k = 0;
    // Most often, and 1.02 times as fast with all strides known
    if (o.a_width == kStatePanel && o.b_stride == kPanel) {
      for (; k + kStatePanel <= o.k; k += kStatePanel, a += o.a_panel_stride) {
        add_products<left, M, N>(a, kStatePanel, o.b + k * kPanel, kPanel, kStatePanel, sums);
      }
    }
    for (; k < o.k; k += o.a_width, a += o.a_panel_stride) {
      add_products<left, M, N>(a, o.a_stride, o.b + k * o.b_stride, o.b_stride,
                               std::min(o.a_width, o.k - k), sums);
    }
  } else {
    add_products<left, M, N>(o.a, o.a_stride, o.b, o.b_stride, o.k, sums);
  }
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      hn::Store(sums[i][j], d, o.c + i * o.c_stride + j * kLanes);
    }
  }
}

template <Left left, int N>
void tile_of_rows(int64_t rows, const Operands& o) {
  static_assert(kMostRows == 6);
  switch (rows) {
    case 1:
      return tile<left, 1, N>(o);
    case 2:
      return tile<left, 2, N>(o);
    case 3:
      return tile<left, 3, N>(o);
    case 4:
      return tile<left, 4, N>(o);
    case 5:
      return tile<left, 5, N>(o);
    default:
      return tile<left, 6, N>(o);
  }
}

template <Left left>
void tile_of_columns(int64_t rows, int64_t columns, const Operands& o) {
  if constexpr (kTileColumns > kBlock) {
    switch (columns / kLanes) {
      case 4:
        return tile_of_rows<left, 4>(rows, o);
      case 3:
        return tile_of_rows<left, 3>(rows, o);
      case 2:
        return tile_of_rows<left, 2>(rows, o);
      default:
        return tile_of_rows<left, 1>(rows, o);
    }
  } else {
    tile_of_rows<left, kTileColumns / kLanes>(rows, o);
  }
}

// Cuts a product of `rows` x `columns` into tiles of about equal height.
template <Left left>
void all_tiles(int64_t rows, int64_t columns, const Operands& o) {
  const int64_t count = (rows + kMostRows - 1) / kMostRows;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t begin = rows * n / count;
    const int64_t end = rows * (n + 1) / count;
    for (int64_t column = 0; column < columns; column += kTileColumns) {
      Operands part = o;
      part.a += left == Left::kRows ? begin * o.a_stride : begin;
      part.b += column;
      part.c += begin * o.c_stride + column;
      tile_of_columns<left>(end - begin, std::min(kTileColumns, columns - column), part);
    }
  }
}

void multiply(const Panels& A, int64_t first_row, int64_t rows, const Panels& B, int64_t p,
              float* C, int64_t c_stride, bool accumulate) {
  all_tiles<Left::kRows>(rows, B.panel_columns(p),
                         {.a = A.at(first_row, 0),
                          .a_stride = A.row_stride(),
                          .a_panel_stride = A.panel_stride(),
                          .a_width = A.width(),
                          .b = B.at(0, p * B.width()),
                          .b_stride = B.row_stride(),
                          .k = B.rows(),
                          .c = C,
                          .c_stride = c_stride,
                          .accumulate = accumulate});
}

void multiply_transposed(const Panels& A, int64_t first_row, int64_t begin, int64_t end,
                         const Panels& B, int64_t b, float* C, int64_t c_stride) {
  for (int64_t k = 0; k < B.rows(); k += kRowsAtATime) {
    for (int64_t column = begin; column < end; column += A.width()) {
      all_tiles<Left::kColumns>(A.panel_columns(column / A.width()), B.panel_columns(b),
                                {.a = A.at(first_row + k, column),
                                 .a_stride = A.row_stride(),
                                 .a_panel_stride = 0,
                                 .a_width = 0,
                                 .b = B.at(k, b * B.width()),
                                 .b_stride = B.row_stride(),
                                 .k = std::min(kRowsAtATime, B.rows() - k),
                                 .c = C + (column - begin) * c_stride,
                                 .c_stride = c_stride,
                                 .accumulate = k > 0});
    }
  }
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(multiply);
HWY_EXPORT(multiply_transposed);

void multiply(const Panels& A, int64_t first_row, int64_t rows, const Panels& B, int64_t p,
              float* C, int64_t c_stride, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(multiply)(A, first_row, rows, B, p, C, c_stride, accumulate);
}

void multiply_transposed(const Panels& A, int64_t first_row, int64_t begin, int64_t end,
                         const Panels& B, int64_t b, float* C, int64_t c_stride) {
  HWY_DYNAMIC_DISPATCH(multiply_transposed)(A, first_row, begin, end, B, b, C, c_stride);
}

}  // namespace unroll::cpu
#endif
