#include "kernels/cpu/matrices/panel_product.h"

#include <algorithm>

#include "kernels/cpu/machine/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matrices/panel_product.cpp"
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

// Rows of B that the tiles of a product pass over before they are written: so many that writing
// them is little, so few that all tiles find them in a cache near by. Down A's columns a tile
// touches another line of A in each row, so fewer with AVX2 (unroll_kernels_benchmark
// --benchmark_filter=Multiply).
constexpr int64_t kDepth = 512;
constexpr int64_t kDepthDown = kLanes == kBlock ? 384 : 96;
constexpr int64_t kLine = 64;  // bytes of a line of cache

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
// the first. Meanwhile so many lines of what is read next are prefetched for each block of k.
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
  const char* next = nullptr;
  int64_t lines = 0;
};

HWY_INLINE void prefetch(const Operands& o, int64_t block) {
  const char* const first = o.next + block * o.lines * kLine;
  for (int64_t n = 0; n < o.lines; ++n) {
    __builtin_prefetch(first + n * kLine, 0, 2);  // into the second-level cache
  }
}

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
  const int64_t blocks = o.k / kBlock;
  const float* a = o.a;
  if (left == Left::kRows && o.a_width == kStatePanel && o.b_stride == kPanel) {
    // Most often, and 1.02 times as fast with all strides known
    for (int64_t n = 0; n < blocks; ++n, a += o.a_panel_stride) {
      prefetch(o, n);
      add_products<left, M, N>(a, kStatePanel, o.b + n * kBlock * kPanel, kPanel, kBlock, sums);
    }
  } else {
    for (int64_t n = 0, in_panel = 0; n < blocks; ++n) {
      prefetch(o, n);
      add_products<left, M, N>(a, o.a_stride, o.b + n * kBlock * o.b_stride, o.b_stride, kBlock,
                               sums);
      in_panel += kBlock;
      a += left == Left::kColumns ? kBlock * o.a_stride : kBlock;
      if (left == Left::kRows && in_panel == o.a_width) {
        in_panel = 0;
        a += o.a_panel_stride - o.a_width;
      }
    }
  }
  add_products<left, M, N>(a, o.a_stride, o.b + blocks * kBlock * o.b_stride, o.b_stride,
                           o.k % kBlock, sums);
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

// Tiles that a product of so many rows and columns is cut into.
int64_t row_tiles(int64_t rows) { return (rows + kMostRows - 1) / kMostRows; }
int64_t tile_count(int64_t rows, int64_t columns) {
  return row_tiles(rows) * ((columns + kTileColumns - 1) / kTileColumns);
}

// Cuts a product of `rows` x `columns` into tiles of about equal height. Each prefetches its share
// of what is read next.
template <Left left>
void all_tiles(int64_t rows, int64_t columns, Operands& o) {
  const int64_t count = row_tiles(rows);
  const int64_t bytes = o.k / kBlock * o.lines * kLine;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t begin = rows * n / count;
    const int64_t end = rows * (n + 1) / count;
    for (int64_t column = 0; column < columns; column += kTileColumns, o.next += bytes) {
      Operands part = o;
      part.a += left == Left::kRows ? begin * o.a_stride : begin;
      part.b += column;
      part.c += begin * o.c_stride + column;
      tile_of_columns<left>(end - begin, std::min(kTileColumns, columns - column), part);
    }
  }
}

// Lines that each of so many tiles prefetches for each block of k: together what they read of B,
// at least. A single tile has no time to spare.
int64_t lines_to_prefetch(int64_t tiles, const Panels& B) {
  const int64_t lines_of_block = B.row_stride() * kBlock * int64_t{sizeof(float)} / kLine;
  return tiles == 1 ? 0 : (lines_of_block + tiles - 1) / tiles;
}

HWY_INLINE const char* bytes_at(const float* values) {
  return reinterpret_cast<const char*>(values);
}

void multiply(const Panels& A, int64_t first_row, int64_t rows, const Panels& B, int64_t p,
              int64_t k, int64_t depth, const PanelResult& result, const float* next) {
  const int64_t columns = B.panel_columns(p);
  const int64_t lines = next == nullptr ? 0 : lines_to_prefetch(tile_count(rows, columns), B);
  // About equal, so that each pass prefetches what the next one reads
  const int64_t at_once = equal_part(depth, kDepth, A.width());
  for (int64_t from = k; from < k + depth; from += at_once) {
    const int64_t count = std::min(at_once, k + depth - from);
    const bool last = from + count == k + depth;
    const float* const b = B.at(from, p * B.width());
    Operands o{.a = A.at(first_row, from),
               .a_stride = A.row_stride(),
               .a_panel_stride = A.panel_stride(),
               .a_width = A.width(),
               .b = b,
               .b_stride = B.row_stride(),
               .k = count,
               .c = result.C,
               .c_stride = result.stride,
               .accumulate = result.accumulate || from > k,
               .next = bytes_at(last ? next : b + count * B.row_stride()),
               .lines = lines};
    all_tiles<Left::kRows>(rows, columns, o);
  }
}

void multiply_transposed(const Panels& A, int64_t first_row, int64_t begin, int64_t end,
                         const Panels& B, int64_t b, float* C, int64_t c_stride,
                         const float* next) {
  const int64_t columns = B.panel_columns(b);
  const int64_t tiles = (end - begin + A.width() - 1) / A.width() * tile_count(A.width(), columns);
  const int64_t lines = next == nullptr ? 0 : lines_to_prefetch(tiles, B);
  const int64_t at_once = equal_part(B.rows(), kDepthDown, kBlock);
  for (int64_t k = 0; k < B.rows(); k += at_once) {
    const int64_t count = std::min(at_once, B.rows() - k);
    const bool last = k + count == B.rows();
    const float* const from = B.at(k, b * B.width());
    Operands o{.a = nullptr,
               .a_stride = A.row_stride(),
               .a_panel_stride = 0,
               .a_width = 0,
               .b = from,
               .b_stride = B.row_stride(),
               .k = count,
               .c = nullptr,
               .c_stride = c_stride,
               .accumulate = k > 0,
               .next = bytes_at(last ? next : from + count * B.row_stride()),
               .lines = lines};
    for (int64_t column = begin; column < end; column += A.width()) {
      o.a = A.at(first_row + k, column);
      o.c = C + (column - begin) * c_stride;
      all_tiles<Left::kColumns>(A.panel_columns(column / A.width()), columns, o);
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
              int64_t k, int64_t depth, const PanelResult& result, const float* next) {
  HWY_DYNAMIC_DISPATCH(multiply)(A, first_row, rows, B, p, k, depth, result, next);
}

void multiply_transposed(const Panels& A, int64_t first_row, int64_t begin, int64_t end,
                         const Panels& B, int64_t b, float* C, int64_t c_stride,
                         const float* next) {
  HWY_DYNAMIC_DISPATCH(multiply_transposed)(A, first_row, begin, end, B, b, C, c_stride, next);
}

}  // namespace unroll::cpu
#endif
