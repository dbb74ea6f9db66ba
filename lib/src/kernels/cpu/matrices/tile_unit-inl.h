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

#include "kernels/cpu/machine/targets.h"
#include "kernels/cpu/matrices/tile_work.h"

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
  // Of an operand that serves again soon.
  template <int tile>
  HWY_INLINE void keep(const void* from) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(int64_t{64}), "i"(tile),
                 "m"(*static_cast<Bytes*>(from)));
  }
  // Of another. With the hint that it need not come to the first-level cache, which is all but
  // taken up otherwise: a product is up to 1.8 times as fast (unroll_kernels_benchmark
  // --benchmark_filter=Tiles).
  template <int tile>
  HWY_INLINE void stream(const void* from) {
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

 private:
  // An operand's load names what it reads instead of all memory, so that the formulas around it
  // keep their values in registers.
  using Bytes = const char[2 * kTileSize];
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
  template <int tile>
  void keep(const void* from) {
    load<tile>(from, 64);
  }
  template <int c, int a, int b>
  void multiply_add() {
    multiply_add(words_[c], words_[a], words_[b]);
  }
  template <int tile>
  void store(float* to, int64_t stride_in_bytes) {
    for (int64_t i = 0; i < kBlock; ++i) {
      std::memcpy(reinterpret_cast<char*>(to) + i * stride_in_bytes, words_[tile] + i * kBlock, 64);
    }
  }

 private:
  static constexpr uint32_t kUpper = 0xFFFF0000U;

  // Sanitizers would spend most of their tests' time here and find nothing, as the registers are a
  // thread's own. std::bit_cast would be a call of what they do look at.
  __attribute__((no_sanitize("address", "thread", "undefined"))) static void multiply_add(
      uint32_t* HWY_RESTRICT sums, const uint32_t* lefts, const uint32_t* rights) {
    for (int64_t i = 0; i < kBlock; ++i) {
      for (int64_t k = 0; k < kBlock; ++k) {
        const uint32_t left[] = {lefts[i * kBlock + k] << 16, lefts[i * kBlock + k] & kUpper};
        for (int64_t j = 0; j < kBlock; ++j) {
          const uint32_t right[] = {rights[k * kBlock + j] << 16, rights[k * kBlock + j] & kUpper};
          uint32_t& sum = sums[i * kBlock + j];
          const float products =
              __builtin_bit_cast(float, left[0]) * __builtin_bit_cast(float, right[0]) +
              __builtin_bit_cast(float, left[1]) * __builtin_bit_cast(float, right[1]);
          sum = __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, sum) + products);
        }
      }
    }
  }

  // As the hardware's registers, a thread's own
  static thread_local uint32_t words_[8][kBlock * kBlock];
};
inline thread_local uint32_t TileUnit::words_[8][kBlock * kBlock];

#endif

// The products of one step in depth come in so many turns, between which a caller can do something
// else.
inline constexpr int kTurns = 4;

// A turn of 16 rows by kColumns tiles. Of two parts first times second, first times first, second
// times first; two columns at a time, as a sum must be done with before it can go on.
template <int kParts, int kColumns, int turn>
HWY_INLINE void turn_of_one_row(TileUnit& unit, const TileTerm& at) {
  constexpr int kPair = turn / 2 * 2;  // of columns
  constexpr bool kFirst = turn == kPair;
  constexpr bool kBoth = kPair + 1 < kColumns;
  if constexpr (turn == 0) {
    unit.stream<4>(at.a);
    if constexpr (kParts == 2) {
      unit.stream<5>(at.a + at.a_part_stride);
    }
  }
  if constexpr (kPair >= kColumns) {
    return;
  }
  const Bf16* const b = at.b + kPair / 2 * at.b_pair_stride;
  if constexpr (kParts == 1) {
    if constexpr (kFirst) {
      unit.stream<6>(b);
      unit.multiply_add<turn, 4, 6>();
    } else if constexpr (kBoth) {
      unit.stream<7>(b + kTileSize);
      unit.multiply_add<turn, 4, 7>();
    }
  } else if constexpr (kFirst) {
    unit.stream<6>(b + at.b_part_stride);
    unit.multiply_add<kPair, 4, 6>();
    if constexpr (kBoth) {
      unit.stream<7>(b + at.b_part_stride + kTileSize);
      unit.multiply_add<kPair + 1, 4, 7>();
    }
  } else {
    unit.stream<6>(b);
    unit.multiply_add<kPair, 4, 6>();
    if constexpr (kBoth) {
      unit.stream<7>(b + kTileSize);
      unit.multiply_add<kPair + 1, 4, 7>();
    }
    unit.multiply_add<kPair, 5, 6>();
    if constexpr (kBoth) {
      unit.multiply_add<kPair + 1, 5, 7>();
    }
  }
}

// Likewise of 32 rows by one or two tiles. Sums 0 and 1 are the first 16 rows', 2 and 3 the
// others'. `kKeep`: the right side serves again soon.
template <int kParts, int kColumns, bool kKeep, int turn>
HWY_INLINE void turn_of_two_rows(TileUnit& unit, const TileTerm& at) {
  constexpr bool kBoth = kColumns == 2;
  const auto right = [&]<int tile>(std::integral_constant<int, tile>, const Bf16* from) HWY_ATTR {
    if constexpr (kKeep) {
      unit.keep<tile>(from);
    } else {
      unit.stream<tile>(from);
    }
  };
  using Six = std::integral_constant<int, 6>;
  using Seven = std::integral_constant<int, 7>;
  if constexpr (kParts == 1) {
    if constexpr (turn == 0) {
      right(Six(), at.b);
      unit.stream<4>(at.a);
      unit.multiply_add<0, 4, 6>();
    } else if constexpr (turn == 1 && kBoth) {
      right(Seven(), at.b + kTileSize);
      unit.multiply_add<1, 4, 7>();
    } else if constexpr (turn == 2) {
      unit.stream<5>(at.a + at.a_row_stride);
      unit.multiply_add<2, 5, 6>();
    } else if constexpr (turn == 3 && kBoth) {
      unit.multiply_add<3, 5, 7>();
    }
  } else if constexpr (turn < 3) {
    if constexpr (turn < 2) {
      const Bf16* const b = turn == 0 ? at.b + at.b_part_stride : at.b;
      right(Six(), b);
      if constexpr (kBoth) {
        right(Seven(), b + kTileSize);
      }
    }
    if constexpr (turn != 1) {
      const Bf16* const a = turn == 0 ? at.a : at.a + at.a_part_stride;
      unit.stream<4>(a);
      unit.stream<5>(a + at.a_row_stride);
    }
    unit.multiply_add<0, 4, 6>();
    if constexpr (kBoth) {
      unit.multiply_add<1, 4, 7>();
    }
    unit.multiply_add<2, 5, 6>();
    if constexpr (kBoth) {
      unit.multiply_add<3, 5, 7>();
    }
  }
}

template <int kParts, int kRows, int kColumns, int turn, bool kKeep = false>
HWY_INLINE void take_turn(TileUnit& unit, TileTerm& at) {
  if constexpr (kRows == 1) {
    turn_of_one_row<kParts, kColumns, turn>(unit, at);
  } else {
    turn_of_two_rows<kParts, kColumns, kKeep, turn>(unit, at);
  }
  if constexpr (turn + 1 == kTurns) {
    at.a += at.a_depth_stride;
    at.b += at.b_depth_stride;
  }
}

template <int kParts, int kRows, int kColumns, bool kKeep = false>
HWY_INLINE void one_step(TileUnit& unit, TileTerm& at) {
  take_turn<kParts, kRows, kColumns, 0, kKeep>(unit, at);
  take_turn<kParts, kRows, kColumns, 1, kKeep>(unit, at);
  take_turn<kParts, kRows, kColumns, 2, kKeep>(unit, at);
  take_turn<kParts, kRows, kColumns, 3, kKeep>(unit, at);
}

// Does what a work owes in a round, turn by turn between the caller's formulas, and in place: a
// call would make those load their constants again, which costs a fifth of a step in bf16. In turns
// because a core looks ahead a few hundred instructions: a whole step of two parts, 12 products at
// once, kept the vector units waiting, and an RNN's loop forward took 930 us instead of 770 (fwd of
// unroll bench --precision bf16x3). Other shapes than 2x2 and 1x4 tiles come as one piece.
template <int kParts>
class Round {
 public:
  // Of a work, or of none.
  HWY_INLINE explicit Round(TileWork* work)
      : work_(work), due_(work != nullptr && work->owes_a_step()) {}

  // Whoever takes one takes all, in their order.
  template <int turn>
  HWY_INLINE void take() {
    if (!due_) {
      return;
    }
    constexpr bool kLast = turn + 1 == kTurns;
    auto& progress = work_->progress();
    const TileShape shape = progress.shape;  // the next columns' may be another
    TileUnit unit;
    if (shape == TileShape::kTwoByTwo) {
      take_turn<kParts, 2, 2, turn>(unit, progress.at);
    } else if (shape == TileShape::kOneByFour) {
      take_turn<kParts, 1, 4, turn>(unit, progress.at);
    } else if (kLast) {
      progress.step(progress);
    }
    if constexpr (kLast) {
      if (shape != TileShape::kOther && HWY_UNLIKELY(--progress.depth_left == 0)) {
        progress.end_term(progress);
      }
      due_ = work_->owes_a_step();
    }
  }
  // What is left.
  HWY_INLINE void end() {
    while (due_) {
      take<0>();
      take<1>();
      take<2>();
      take<3>();
    }
  }

 private:
  TileWork* work_;
  bool due_;
};

}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
