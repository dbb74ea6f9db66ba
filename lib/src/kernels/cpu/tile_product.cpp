#include "kernels/cpu/tile_product.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tile_product.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include "kernels/cpu/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

// Eight registers of 16 by 16 floats, or a tile: sums in 0 to 3, left sides in 4 and 5, right sides
// in 6 and 7.
#if HWY_TARGET == HWY_AVX3 && defined(__x86_64__)

// The tile unit's own instructions. As assembly, because the compilers' functions for them tell
// neither that memory is read nor, before a configuration is loaded, that it must have been
// written.
class TileUnit {
 public:
  static void begin() {
    // Palette 1: eight tiles of 16 rows of 64 bytes.
    struct alignas(64) Configuration {
      uint8_t palette = 1;
      uint8_t start_row = 0;
      uint8_t reserved[14] = {};
      uint16_t bytes_of_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static constexpr Configuration kConfiguration;
    asm volatile("ldtilecfg %0" ::"m"(kConfiguration));
  }
  static void end() { asm volatile("tilerelease"); }

  template <int tile>
  HWY_INLINE void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(tile));
  }
  template <int tile>
  HWY_INLINE void load(const void* from, int64_t stride_in_bytes) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride_in_bytes), "i"(tile)
                 : "memory");
  }
  // Of weights, which come from the second-level cache and should not drive the left side out of
  // the first: 10 % of a step in bf16 (unroll_kernels_benchmark --benchmark_filter=MultiplyTiles).
  template <int tile>
  HWY_INLINE void stream(const void* from) {
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(int64_t{64}), "i"(tile)
                 : "memory");
  }
  template <int c, int a, int b>
  HWY_INLINE void multiply_add() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
  }
  template <int tile>
  HWY_INLINE void store(float* to, int64_t stride_in_bytes) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride_in_bytes), "i"(tile)
                 : "memory");
  }
};

#else

// What it does, step by step.
class TileUnit {
 public:
  static void begin() {}
  static void end() {}

  template <int tile>
  void zero() {
    std::fill_n(words_[tile], kBlock * kBlock, 0U);
  }
  template <int tile>
  void load(const void* from, int64_t stride_in_bytes) {
    for (int64_t i = 0; i < kBlock; ++i) {
      std::memcpy(words_[tile] + i * kBlock, static_cast<const char*>(from) + i * stride_in_bytes,
                  64);
    }
  }
  template <int tile>
  void stream(const void* from) {
    load<tile>(from, 64);
  }
  template <int c, int a, int b>
  void multiply_add() {
    for (int64_t i = 0; i < kBlock; ++i) {
      for (int64_t k = 0; k < kBlock; ++k) {
        const uint32_t left = words_[a][i * kBlock + k];
        for (int64_t j = 0; j < kBlock; ++j) {
          const uint32_t right = words_[b][k * kBlock + j];
          auto& sum = words_[c][i * kBlock + j];
          const float products = as_float(left << 16) * as_float(right << 16) +
                                 as_float(left & kUpper) * as_float(right & kUpper);
          sum = std::bit_cast<uint32_t>(as_float(sum) + products);
        }
      }
    }
  }
  template <int tile>
  void store(float* to, int64_t stride_in_bytes) {
    for (int64_t i = 0; i < kBlock; ++i) {
      std::memcpy(reinterpret_cast<char*>(to) + i * stride_in_bytes, words_[tile] + i * kBlock, 64);
    }
  }

 private:
  static constexpr uint32_t kUpper = 0xFFFF0000U;
  static float as_float(uint32_t word) { return std::bit_cast<float>(word); }

  uint32_t words_[8][kBlock * kBlock];
};

#endif

constexpr int64_t kRowBytes = 64;

// The products of one step in depth: 16 rows by kColumns tiles. Of two parts first times second,
// first times first, second times first; two columns at a time, as a sum must be done with before
// it can go on.
template <int kParts, int kColumns>
HWY_INLINE void one_row(TileUnit& unit, const TileTerm& at) {
  unit.load<4>(at.a, kRowBytes);
  if constexpr (kParts == 2) {
    unit.load<5>(at.a + at.a_part_stride, kRowBytes);
  }
  const auto pair = [&]<int c>(std::integral_constant<int, c>) HWY_ATTR {
    constexpr bool kBoth = c + 1 < kColumns;
    const Bf16* const b = at.b + c * kTileSize;
    if constexpr (kParts == 2) {
      unit.stream<6>(b + at.b_part_stride);
      unit.multiply_add<c, 4, 6>();
      if constexpr (kBoth) {
        unit.stream<7>(b + at.b_part_stride + kTileSize);
        unit.multiply_add<c + 1, 4, 7>();
      }
    }
    unit.stream<6>(b);
    unit.multiply_add<c, 4, 6>();
    if constexpr (kBoth) {
      unit.stream<7>(b + kTileSize);
      unit.multiply_add<c + 1, 4, 7>();
    }
    if constexpr (kParts == 2) {
      unit.multiply_add<c, 5, 6>();
      if constexpr (kBoth) {
        unit.multiply_add<c + 1, 5, 7>();
      }
    }
  };
  pair(std::integral_constant<int, 0>());
  if constexpr (kColumns > 2) {
    pair(std::integral_constant<int, 2>());
  }
}

// Likewise 32 rows by one or two tiles. Sums 0 and 1 are the first 16 rows', 2 and 3 the others'.
template <int kParts, int kColumns>
HWY_INLINE void two_rows(TileUnit& unit, const TileTerm& at) {
  const Bf16* const below = at.a + at.a_row_stride;
  const auto all = [&] HWY_ATTR {
    unit.multiply_add<0, 4, 6>();
    if constexpr (kColumns == 2) {
      unit.multiply_add<1, 4, 7>();
    }
    unit.multiply_add<2, 5, 6>();
    if constexpr (kColumns == 2) {
      unit.multiply_add<3, 5, 7>();
    }
  };
  if constexpr (kParts == 2) {
    unit.stream<6>(at.b + at.b_part_stride);
    if constexpr (kColumns == 2) {
      unit.stream<7>(at.b + at.b_part_stride + kTileSize);
    }
    unit.load<4>(at.a, kRowBytes);
    unit.load<5>(below, kRowBytes);
    all();
    unit.stream<6>(at.b);
    if constexpr (kColumns == 2) {
      unit.stream<7>(at.b + kTileSize);
    }
    all();
    unit.load<4>(at.a + at.a_part_stride, kRowBytes);
    unit.load<5>(below + at.a_part_stride, kRowBytes);
    all();
  } else {
    unit.stream<6>(at.b);
    unit.load<4>(at.a, kRowBytes);
    if constexpr (kColumns == 2) {
      unit.stream<7>(at.b + kTileSize);
    }
    unit.load<5>(below, kRowBytes);
    all();
  }
}

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

template <int kParts, int kRows, int kColumns>
void product(std::span<const TileTerm> terms, const TileResult* results, bool accumulate) {
  static_assert(kRows * kColumns <= 4);
  TileUnit unit;
  for_each_sum<kRows, kColumns>([&]<int sum>(std::integral_constant<int, sum>, int j, int64_t row)
                                    HWY_ATTR {
                                      if (accumulate) {
                                        const auto& to = results[j];
                                        unit.load<sum>(to.c + row * to.stride, to.stride * 4);
                                      } else {
                                        unit.zero<sum>();
                                      }
                                    });
  for (TileTerm at : terms) {
    for (int64_t k = 0; k < at.depth; ++k) {
      if constexpr (kRows == 1) {
        one_row<kParts, kColumns>(unit, at);
      } else {
        two_rows<kParts, kColumns>(unit, at);
      }
      at.a += at.a_depth_stride;
      at.b += at.b_depth_stride;
    }
  }
  for_each_sum<kRows, kColumns>([&]<int sum>(std::integral_constant<int, sum>, int j, int64_t row)
                                    HWY_ATTR {
                                      const auto& to = results[j];
                                      unit.store<sum>(to.c + row * to.stride, to.stride * 4);
                                    });
}

template <int kParts>
void product_of(std::span<const TileTerm> terms, int rows, int columns, const TileResult* results,
                bool accumulate) {
  if (rows == 2) {
    (columns == 2 ? product<kParts, 2, 2> : product<kParts, 2, 1>)(terms, results, accumulate);
    return;
  }
  switch (columns) {
    case 4:
      return product<kParts, 1, 4>(terms, results, accumulate);
    case 3:
      return product<kParts, 1, 3>(terms, results, accumulate);
    case 2:
      return product<kParts, 1, 2>(terms, results, accumulate);
    default:
      return product<kParts, 1, 1>(terms, results, accumulate);
  }
}

void multiply_tiles(std::span<const TileTerm> terms, int parts, int rows, int columns,
                    const TileResult* results, bool accumulate) {
  (parts == 1 ? product_of<1> : product_of<2>)(terms, rows, columns, results, accumulate);
}

void transpose_tiles(const Bf16* from, int64_t row_stride, Bf16* to) {
  // Two rows alternating, as on the right side: pairs of rows are then words, which change places.
  alignas(64) uint32_t pairs[2][kBlock * kBlock];
  for (int64_t i = 0; i < kBlock; ++i) {
    const int64_t row = 2 * i;
    const Bf16* const even = from + row / kTileRows * row_stride + row % kTileRows * kTileDepth;
    const Bf16* const odd = even + kTileDepth;
#if HWY_TARGET == HWY_AVX3
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

void begin_tiles() { TileUnit::begin(); }
void end_tiles() { TileUnit::end(); }

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(multiply_tiles);
HWY_EXPORT(transpose_tiles);
HWY_EXPORT(begin_tiles);
HWY_EXPORT(end_tiles);

namespace {

bool ask_for_tile_unit() {
#if defined(__x86_64__) && defined(__linux__)
  // CPUID leaf 7: EDX 22 AMX-BF16, 24 AMX-TILE. The system keeps the tiles of a process, 8 KiB of
  // state, only if it asks.
  constexpr unsigned kAmx = 1U << 22 | 1U << 24;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmx) == kAmx &&
         (hwy::SupportedTargets() & HWY_AVX3) != 0 &&
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

void multiply_tiles(std::span<const TileTerm> terms, int parts, int rows, int columns,
                    const TileResult* results, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(multiply_tiles)(terms, parts, rows, columns, results, accumulate);
}

void transpose_tiles(const Bf16* from, int64_t row_stride, Bf16* to) {
  HWY_DYNAMIC_DISPATCH(transpose_tiles)(from, row_stride, to);
}

}  // namespace unroll::cpu
#endif
