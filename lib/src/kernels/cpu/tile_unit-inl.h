// Per-target include guard, as Highway's own -inl.h files have it
#if defined(UNROLL_TILE_UNIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNROLL_TILE_UNIT_INL_H_
#undef UNROLL_TILE_UNIT_INL_H_
#else
#define UNROLL_TILE_UNIT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/targets.h"
#include "kernels/cpu/tile_product.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {

// Eight registers of 16 by 16 floats, or a tile: sums in 0 to 3, left sides in 4 and 5, right sides
// in 6 and 7.
#if UNROLL_AVX512

// The tile unit's own instructions. As assembly, because the compilers' functions for them tell
// neither that memory is read nor, before a configuration is loaded, that it must have been
// written.
class TileUnit {
 public:
  static constexpr bool kIsHardware = true;

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
  // Of a result.
  template <int tile>
  HWY_INLINE void load(const void* from, int64_t stride_in_bytes) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride_in_bytes), "i"(tile)
                 : "memory");
  }
  // Of an operand. With the hint that it need not come to the first-level cache, which is all but
  // taken up otherwise: a product is up to 1.8 times as fast (unroll_kernels_benchmark
  // --benchmark_filter=Tiles).
  template <int tile>
  HWY_INLINE void stream(const void* from) {
    // Names what it reads instead of all memory, so that the formulas around it keep their values
    // in registers.
    using Bytes = const char[2 * kTileSize];
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(int64_t{64}), "i"(tile),
                 "m"(*static_cast<Bytes*>(from)));
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
  static constexpr bool kIsHardware = false;

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

  // As the hardware's registers, a thread's own
  static thread_local uint32_t words_[8][kBlock * kBlock];
};
inline thread_local uint32_t TileUnit::words_[8][kBlock * kBlock];

#endif

// The products of one step in depth: 16 rows by kColumns tiles. Of two parts first times second,
// first times first, second times first; two columns at a time, as a sum must be done with before
// it can go on.
template <int kParts, int kColumns>
HWY_INLINE void one_row(TileUnit& unit, const TileTerm& at) {
  unit.stream<4>(at.a);
  if constexpr (kParts == 2) {
    unit.stream<5>(at.a + at.a_part_stride);
  }
  const auto pair = [&]<int c>(std::integral_constant<int, c>) HWY_ATTR {
    constexpr bool kBoth = c + 1 < kColumns;
    const Bf16* const b = at.b + c / 2 * at.b_pair_stride;
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
    unit.stream<4>(at.a);
    unit.stream<5>(below);
    all();
    unit.stream<6>(at.b);
    if constexpr (kColumns == 2) {
      unit.stream<7>(at.b + kTileSize);
    }
    all();
    unit.stream<4>(at.a + at.a_part_stride);
    unit.stream<5>(below + at.a_part_stride);
    all();
  } else {
    unit.stream<6>(at.b);
    unit.stream<4>(at.a);
    if constexpr (kColumns == 2) {
      unit.stream<7>(at.b + kTileSize);
    }
    unit.stream<5>(below);
    all();
  }
}

template <int kParts, int kRows, int kColumns>
HWY_INLINE void one_step(TileUnit& unit, TileTerm& at) {
  if constexpr (kRows == 1) {
    one_row<kParts, kColumns>(unit, at);
  } else {
    two_rows<kParts, kColumns>(unit, at);
  }
  at.a += at.a_depth_stride;
  at.b += at.b_depth_stride;
}

// Does what a work owes in this round, in place: a call would make the formulas around it load
// their constants again, which costs a fifth of a step in bf16.
template <int kParts>
HWY_INLINE void advance(TileWork& work) {
  while (work.owes_a_step()) {
    auto& progress = work.progress();
    TileUnit unit;
    if (progress.shape == TileShape::kTwoByTwo) {
      one_step<kParts, 2, 2>(unit, progress.at);
    } else if (progress.shape == TileShape::kOneByFour) {
      one_step<kParts, 1, 4>(unit, progress.at);
    } else {
      progress.step(progress);
      continue;
    }
    if (HWY_UNLIKELY(--progress.depth_left == 0)) {
      progress.end_term(progress);
    }
  }
}

}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
