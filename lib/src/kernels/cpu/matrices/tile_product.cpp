#include "kernels/cpu/matrices/tile_product.h"

#include <algorithm>
#include <type_traits>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels/cpu/machine/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matrices/tile_product.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include "kernels/cpu/matrices/tile_unit-inl.h"
#include "kernels/cpu/matrices/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

// Calls use(sum register, result column, result row) for each sum.
template <int kRows, int kColumns, typename Use>
HWY_INLINE void for_each_sum(const Use& use) {
  const auto one = [&]<int j>(std::integral_constant<int, j>) HWY_ATTR {
    if constexpr (j < kColumns) {
      use(std::integral_constant<int, j>(), j, 0);
      if constexpr (kRows == 2) {
        use(std::integral_constant<int, j + 2>(), j, kTileRows);
      }
    }
  };
  one(std::integral_constant<int, 0>());
  one(std::integral_constant<int, 1>());
  one(std::integral_constant<int, 2>());
  one(std::integral_constant<int, 3>());
}

template <int kRows, int kColumns>
HWY_INLINE void begin_sums(TileUnit& unit, const TileResult* start) {
  for_each_sum<kRows, kColumns>(
      [&]<int sum>(std::integral_constant<int, sum>, int j, int64_t row) HWY_ATTR {
        if (start != nullptr) {
          unit.load<sum>(start[j].c + row * start[j].stride, start[j].stride * 4);
        } else {
          unit.zero<sum>();
        }
      });
}

template <int kRows, int kColumns>
HWY_INLINE void end_sums(TileUnit& unit, const TileResult* results) {
  for_each_sum<kRows, kColumns>([&]<int sum>(std::integral_constant<int, sum>, int j, int64_t row)
                                    HWY_ATTR {
                                      const auto& to = results[j];
                                      unit.store<sum>(to.c + row * to.stride, to.stride * 4);
                                    });
}

template <int kParts, int kColumns>
void product(std::span<const TileTerm> terms, const TileResult* start, const TileResult* results) {
  TileUnit unit;
  begin_sums<2, kColumns>(unit, start);
  for (TileTerm at : terms) {
    for (int64_t k = 0; k < at.depth; ++k) {
      one_step<kParts, 2, kColumns, /*kKeep=*/kParts == 1>(unit, at);
    }
  }
  end_sums<2, kColumns>(unit, results);
}

void multiply_tiles(std::span<const TileTerm> terms, int parts, int columns,
                    const TileResult* start, const TileResult* results) {
  if (parts == 1) {
    (columns == 2 ? product<1, 2> : product<1, 1>)(terms, start, results);
  } else {
    (columns == 2 ? product<2, 2> : product<2, 1>)(terms, start, results);
  }
}

void begin_columns(TileProgress& work);

template <int kRows, int kColumns>
HWY_INLINE void results_of(const TileProgress& work, TileResult (&results)[kColumns]) {
  for (int j = 0; j < kColumns; ++j) {
    results[j] = {work.task.result.c + (work.column + j) * kBlock, work.task.result.stride};
  }
}

// The next term, or the sums go where they belong, and then the next columns.
template <int kRows, int kColumns>
HWY_NOINLINE void end_term(TileProgress& work) {
  if (++work.term < work.task.term_count) {
    const int64_t pair = work.column / 2;
    work.at = work.task.terms[work.term];
    work.at.b += pair * work.at.b_pair_stride;
    work.depth_left = work.at.depth;
    return;
  }
  TileUnit unit;
  TileResult results[kColumns];
  results_of<kRows, kColumns>(work, results);
  end_sums<kRows, kColumns>(unit, results);
  work.column += kColumns;
  if (work.column < work.task.columns) {
    begin_columns(work);
  }
}

// One step in depth, after which the unit works on while the caller does something else.
template <int kParts, int kRows, int kColumns>
void step_of(TileProgress& work) {
  TileUnit unit;
  one_step<kParts, kRows, kColumns>(unit, work.at);
  if (--work.depth_left == 0) {
    end_term<kRows, kColumns>(work);
  }
}

template <int kParts, int kRows, int kColumns>
void begin(TileProgress& work) {
  TileUnit unit;
  TileResult results[kColumns];
  results_of<kRows, kColumns>(work, results);
  begin_sums<kRows, kColumns>(unit, work.task.accumulate ? results : nullptr);
  work.step = step_of<kParts, kRows, kColumns>;
  work.end_term = end_term<kRows, kColumns>;
  work.shape = kRows == 2 && kColumns == 2   ? TileShape::kTwoByTwo
               : kRows == 1 && kColumns == 4 ? TileShape::kOneByFour
                                             : TileShape::kOther;
}

// Begins the columns that come next.
void begin_columns(TileProgress& work) {
  using Begin = void (*)(TileProgress&);
  static constexpr Begin kOneRow[2][4] = {
      {begin<1, 1, 1>, begin<1, 1, 2>, begin<1, 1, 3>, begin<1, 1, 4>},
      {begin<2, 1, 1>, begin<2, 1, 2>, begin<2, 1, 3>, begin<2, 1, 4>}};
  static constexpr Begin kTwoRows[2][2] = {{begin<1, 2, 1>, begin<1, 2, 2>},
                                           {begin<2, 2, 1>, begin<2, 2, 2>}};
  const int columns = work.task.columns - work.column;
  work.term = 0;
  work.at = work.task.terms[0];
  work.at.b += work.column / 2 * work.at.b_pair_stride;
  work.depth_left = work.at.depth;
  (work.task.rows == 1 ? kOneRow[work.task.parts - 1][columns - 1]
                       : kTwoRows[work.task.parts - 1][std::min(columns, 2) - 1])(work);
}

void transpose_tiles(const Bf16* from, int64_t row_stride, Bf16* to) {
  // Two rows alternating, as on the right side: pairs of rows are then words, which change places.
  alignas(64) uint32_t pairs[2][kBlock * kBlock];
  for (int64_t i = 0; i < kBlock; ++i) {
    const int64_t row = 2 * i;
    const Bf16* const even = from + row / kTileRows * row_stride + row % kTileRows * kTileDepth;
    const Bf16* const odd = even + kTileDepth;
#if UNROLL_AVX512
    alignas(64) static constexpr uint16_t kFirst[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                        37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                        11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    const auto first = _mm512_load_si512(kFirst);
    const auto second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
    const auto a = _mm512_load_si512(even);
    const auto b = _mm512_load_si512(odd);
    _mm512_store_si512(pairs[0] + i * kBlock, _mm512_permutex2var_epi16(a, first, b));
    _mm512_store_si512(pairs[1] + i * kBlock, _mm512_permutex2var_epi16(a, second, b));
#else
    for (int64_t j = 0; j < kTileDepth; ++j) {
      pairs[j / kBlock][i * kBlock + j % kBlock] = uint32_t{even[j]} | static_cast<uint32_t>(odd[j])
                                                                           << 16;
    }
#endif
  }
  transpose_16x16(pairs[0], kBlock, reinterpret_cast<uint32_t*>(to), kBlock);
  transpose_16x16(pairs[1], kBlock, reinterpret_cast<uint32_t*>(to + kTileSize), kBlock);
}

bool is_hardware() { return TileUnit::kIsHardware; }
void begin_tiles() { TileUnit::begin(); }
void end_tiles() { TileUnit::end(); }

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(multiply_tiles);
HWY_EXPORT(begin_columns);
HWY_EXPORT(transpose_tiles);
HWY_EXPORT(is_hardware);
HWY_EXPORT(begin_tiles);
HWY_EXPORT(end_tiles);

namespace {

bool ask_for_tile_unit() {
#if defined(__x86_64__) && defined(__linux__)
  // CPUID leaf 7: EDX 22 AMX-BF16, 24 AMX-TILE; subleaf 1: EAX 5 AVX512-BF16. The system keeps the
  // tiles of a process, 8 KiB of state, only if it asks.
  constexpr unsigned kAmx = 1U << 22 | 1U << 24;
  constexpr unsigned kAvx512Bf16 = 1U << 5;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  const bool has_amx = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmx) == kAmx;
  const bool has_bf16 = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvx512Bf16) != 0;
  return has_amx && has_bf16 && HWY_DYNAMIC_DISPATCH(is_hardware)() &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace

bool has_tile_unit() {
  static const bool result = ask_for_tile_unit();
  return result;
}

TileScope::TileScope(int parts) : active_(parts > 0) {
  if (active_) {
    HWY_DYNAMIC_DISPATCH(begin_tiles)();
  }
}

TileScope::~TileScope() {
  if (active_) {
    HWY_DYNAMIC_DISPATCH(end_tiles)();
  }
}

void multiply_tiles(std::span<const TileTerm> terms, int parts, int columns,
                    const TileResult* start, const TileResult* results) {
  HWY_DYNAMIC_DISPATCH(multiply_tiles)(terms, parts, columns, start, results);
}

TileWork::TileWork(const TileTask& task) {
  int64_t depth = 0;
  for (int n = 0; n < task.term_count; ++n) {
    depth += task.terms[n].depth;
  }
  progress_.task = task;
  // Two rows take two tiles of columns at a time.
  steps_ = left_ = depth * (task.rows == 1 ? 1 : (task.columns + 1) / 2);
  HWY_DYNAMIC_DISPATCH(begin_columns)(progress_);
}

void transpose_tiles(const Bf16* from, int64_t row_stride, Bf16* to) {
  HWY_DYNAMIC_DISPATCH(transpose_tiles)(from, row_stride, to);
}

}  // namespace unroll::cpu
#endif
