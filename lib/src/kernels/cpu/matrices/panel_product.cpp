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

// Sum indices whose products follow each other without a branch. With 16 registers no more than
// two: of four, the compiler keeps one of the twelve sums in memory, and a tile reaches 90 % of the
// peak instead of 95 %.
constexpr int kUnrolled = kLanes == kBlock ? 4 : 2;

// Rows of B that the tiles of a product pass over before they are written: so many that writing
// them is little, so few that all tiles find them in a cache near by (unroll_kernels_benchmark
// --benchmark_filter=Multiply).
constexpr int64_t kDepth = kLanes == kBlock ? 512 : 256;
constexpr int64_t kDepthDown = 384;

// Right sides of up to so many bytes, which stay in a third-level cache, are neither prefetched nor
// cut for few rows: a strip as wide as a tile (strip_of_right_side) is consecutive memory, along
// which the core fetches ahead by itself. With AVX2 an RNN of 512 or 1024 units trains 1.08 and
// 1.12 times as fast so in batches of 8, and 1.03 and 1.02 times in batches of 32 (unroll bench
// --cell rnn --hidden 512,1024 --batch-size 8 --threads 1).
constexpr int64_t kFetchedByTheCore = kTileColumns > kBlock ? 0 : int64_t{8} << 20;
constexpr int64_t kDepthFromEndToEnd = 1024;

// With fewer rows than this, a product waits for what it reads of B, unless B is in a core's own
// cache. With less depth B is read once, and stays in the first-level cache for all tiles: with 8
// rows 1.15 times as fast (--benchmark_filter=MultiplyPrefetched).
constexpr int64_t kRowsThatHideReading = 24;
constexpr int64_t kDepthForFewRows = 128;

// Rows of B between two bursts of prefetches. A core can have only a few reads under way, and a
// longer burst stops it: with 8 rows of A, bursts for 16 rows of B are 0.94 times as fast.
constexpr int64_t kBurst = 4;
constexpr int64_t kLine = 64;  // bytes of a line of cache

// Where A's value for row i of the tile and sum index k stands: k runs along a row of A, or down
// its column.
enum class Left { kRows, kColumns };

// A's first value for sum index k.
template <Left left>
HWY_INLINE const float* at_k(const float* a, int64_t a_stride, int64_t k) {
  return left == Left::kRows ? a + k : a + k * a_stride;
}

// Adds `count` products to the sums of one tile.
template <Left left, int M, int N>
HWY_INLINE void add_products(const float* HWY_RESTRICT a, int64_t a_stride,
                             const float* HWY_RESTRICT b, int64_t b_stride, int64_t count,
                             Vector (&sums)[M][N]) {
  const Tag d;
#pragma GCC unroll kUnrolled
  for (int64_t k = 0; k < count; ++k) {
    Vector row[N];
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      row[j] = hn::Load(d, b + k * b_stride + j * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) {
      const auto value =
          hn::Set(d, at_k<left>(a, a_stride, k)[left == Left::kRows ? i * a_stride : i]);
#pragma GCC unroll 16
      for (int j = 0; j < N; ++j) {
        sums[i][j] = hn::MulAdd(value, row[j], sums[i][j]);
      }
    }
  }
}

// What is read next. Each tile prefetches so many lines of it for kBurst rows of B.
struct Ahead {
  const char* next = nullptr;
  const char* end = nullptr;
  int64_t lines = 0;
};

// What a tile is computed from. Along A's rows the sum runs through A's strips, of which this is
// the first.
struct Operands {
  const float* a = nullptr;
  int64_t a_stride = 0;  // of rows, and along them the columns of a strip
  int64_t a_strip_stride = 0;
  const float* b = nullptr;
  int64_t b_stride = 0;
  int64_t k = 0;
  float* c = nullptr;
  int64_t c_stride = 0;
  bool accumulate = false;
  Ahead ahead = {};
};

// Adds the products of one block of k.
template <Left left, int M, int N>
HWY_INLINE void add_block(const float* HWY_RESTRICT a, int64_t a_stride,
                          const float* HWY_RESTRICT b, int64_t b_stride, Ahead& ahead,
                          Vector (&sums)[M][N]) {
  for (int64_t k = 0; k < kBlock; k += kBurst) {
    for (int64_t n = 0; n < ahead.lines && ahead.next < ahead.end; ++n, ahead.next += kLine) {
      __builtin_prefetch(ahead.next, 0, 2);  // into the second-level cache
    }
    add_products<left, M, N>(at_k<left>(a, a_stride, k), a_stride, b + k * b_stride, b_stride,
                             kBurst, sums);
  }
}

template <Left left, int M, int N>
HWY_NOINLINE void tile(Operands& o) {
  const Tag d;
  // Copies, which stay in registers: what is written could be part of `o`.
  float* const c = o.c;
  const int64_t c_stride = o.c_stride;
  Vector sums[M][N];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      sums[i][j] = o.accumulate ? hn::Load(d, c + i * c_stride + j * kLanes) : hn::Zero(d);
    }
  }
  const int64_t blocks = o.k / kBlock;
  const float* a = o.a;
  Ahead ahead = o.ahead;
  constexpr int64_t kStride = std::max(kTileColumns, kBlock);
  if (left == Left::kRows && o.a_stride == kStatePanel && o.b_stride == kStride) {
    // Most often, and 1.02 times as fast with all strides known
    for (int64_t n = 0; n < blocks; ++n, a += o.a_strip_stride) {
      add_block<left, M, N>(a, kStatePanel, o.b + n * kBlock * kStride, kStride, ahead, sums);
    }
  } else {
    for (int64_t n = 0, in_strip = 0; n < blocks; ++n) {
      add_block<left, M, N>(a, o.a_stride, o.b + n * kBlock * o.b_stride, o.b_stride, ahead, sums);
      in_strip += kBlock;
      a = at_k<left>(a, o.a_stride, kBlock);
      if (left == Left::kRows && in_strip == o.a_stride) {
        in_strip = 0;
        a += o.a_strip_stride - o.a_stride;
      }
    }
  }
  o.ahead = ahead;
  add_products<left, M, N>(a, o.a_stride, o.b + blocks * kBlock * o.b_stride, o.b_stride,
                           o.k % kBlock, sums);
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < N; ++j) {
      hn::Store(sums[i][j], d, c + i * c_stride + j * kLanes);
    }
  }
}

template <Left left, int N>
void tile_of_rows(int64_t rows, Operands& o) {
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
void tile_of_columns(int64_t rows, int64_t columns, Operands& o) {
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

// Tiles that so many rows are cut into.
int64_t row_tiles(int64_t rows) { return parts_of(rows, kMostRows); }

// Cuts a product of `rows` x `columns` into tiles of about equal height, each of which prefetches
// on from where the last one ended.
template <Left left>
void all_tiles(int64_t rows, int64_t columns, Operands& o) {
  const int64_t count = row_tiles(rows);
  for (int64_t n = 0; n < count; ++n) {
    const int64_t begin = rows * n / count;
    const int64_t end = rows * (n + 1) / count;
    for (int64_t column = 0; column < columns; column += kTileColumns) {
      Operands part = o;
      part.a += left == Left::kRows ? begin * o.a_stride : begin;
      part.b += column;
      part.c += begin * o.c_stride + column;
      tile_of_columns<left>(end - begin, std::min(kTileColumns, columns - column), part);
      o.ahead = part.ahead;
    }
  }
}

// So many rows of one of B's strips from `next` on, to be fetched by so many tiles.
Ahead ahead_of(const Panels& B, const float* next, int64_t rows, int64_t tiles) {
  const int64_t lines_of_row = B.strip() * int64_t{sizeof(float)} / kLine;
  const auto* const bytes = reinterpret_cast<const char*>(next);
  return {.next = bytes,
          .end = bytes + rows * lines_of_row * kLine,
          .lines = parts_of(kBurst * lines_of_row, tiles)};
}

// A product with so many tiles above each other passes over at most `most` rows of its right side
// at a time, strip by strip. Calls compute(from, columns, operands) for each pass over a strip,
// with the right side from that row on, its result and what is ahead: the next pass, and in the end
// what comes next.
template <typename Compute>
void for_passes(const RightSide& right, int64_t most, int64_t multiple, int64_t tiles,
                const PanelResult& result, const Compute& compute) {
  const Panels& B = right.B;
  const int64_t end = right.k + right.depth;
  const int64_t at_once = equal_part(right.depth, most, multiple);
  const int64_t columns = B.panel_columns(right.p);
  const int64_t strip = std::min(B.strip(), result.stride);
  // A single tile does not prefetch: whatever it does, it waits for what it reads itself.
  const bool prefetches = right.next != nullptr && tiles * parts_of(columns, kTileColumns) > 1;
  for (int64_t from = right.k; from < end; from += at_once) {
    const int64_t count = std::min(at_once, end - from);
    const int64_t rest = end - from - count;
    for (int64_t column = 0; column < columns; column += strip) {
      Operands o{
          .b = B.at(from, right.p * B.width() + column),
          .b_stride = B.strip(),
          .k = count,
          .c = result.C + column / result.stride * result.strip_stride + column % result.stride,
          .c_stride = result.stride,
          .accumulate = result.accumulate || from > right.k};
      if (prefetches) {
        const float* const next = rest == 0 ? right.next + column / B.strip() * B.strip_stride()
                                            : o.b + count * B.strip();
        o.ahead = ahead_of(B, next, rest == 0 ? at_once : std::min(at_once, rest),
                           tiles * parts_of(strip, kTileColumns));
      }
      compute(from, std::min(strip, columns - column), o);
    }
  }
}

void multiply(const Panels& A, int64_t first_row, int64_t rows, const RightSide& right,
              const PanelResult& result) {
  const int64_t tiles = row_tiles(rows);
  RightSide own = right;
  int64_t depth = kDepth;
  if (right.B.bytes() <= kFetchedByTheCore) {
    own.next = nullptr;
    depth = kDepthFromEndToEnd;
  } else if (right.next != nullptr && tiles > 1 && rows < kRowsThatHideReading) {
    depth = kDepthForFewRows;
  }
  for_passes(own, depth, A.strip(), tiles, result, [&](int64_t from, int64_t columns, Operands& o) {
    o.a = A.at(first_row, from);
    o.a_stride = A.strip();
    o.a_strip_stride = A.strip_stride();
    all_tiles<Left::kRows>(rows, columns, o);
  });
}

void multiply_transposed(const Panels& A, int64_t first_row, int64_t begin, int64_t end,
                         const RightSide& right, const PanelResult& result) {
  const int64_t strip = A.strip();
  const int64_t tiles = parts_of(end - begin, strip) * row_tiles(strip);
  for_passes(right, kDepthDown, kBlock, tiles, result,
             [&](int64_t from, int64_t columns, Operands& o) {
               float* const first = o.c;
               o.a_stride = strip;
               for (int64_t column = begin; column < end; column += strip) {
                 o.a = A.at(first_row + from, column);
                 o.c = first + (column - begin) * result.stride;
                 const int64_t rows = std::min(strip, round_up(A.columns() - column, kBlock));
                 all_tiles<Left::kColumns>(rows, columns, o);
               }
             });
}

// A right side in strips as wide as a tile is read from consecutive memory, which stays in the
// first-level cache while the tiles of all rows pass by; out of a row of 64, a tile of 16 columns
// takes every fourth line, and only a few sets of the cache hold them. With AVX2 an LSTM of 512
// units trains 1.05 times as fast so, together with kUnrolled and the depths above (unroll bench
// --cell lstm --threads 1,2).
int64_t strip_of_right_side(int64_t width) { return kTileColumns > kBlock ? width : kBlock; }

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(multiply);
HWY_EXPORT(multiply_transposed);
HWY_EXPORT(strip_of_right_side);

void multiply(const Panels& A, int64_t first_row, int64_t rows, const RightSide& right,
              const PanelResult& result) {
  HWY_DYNAMIC_DISPATCH(multiply)(A, first_row, rows, right, result);
}

void multiply_transposed(const Panels& A, int64_t first_row, int64_t begin, int64_t end,
                         const RightSide& right, const PanelResult& result) {
  HWY_DYNAMIC_DISPATCH(multiply_transposed)(A, first_row, begin, end, right, result);
}

int64_t strip_of_right_side(int64_t width) {
  return HWY_DYNAMIC_DISPATCH(strip_of_right_side)(width);
}

}  // namespace unroll::cpu
#endif
