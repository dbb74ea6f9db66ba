// Per-target include guard, as Highway's own -inl.h files have it
#if defined(UNROLL_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNROLL_BF16_INL_H_
#undef UNROLL_BF16_INL_H_
#else
#define UNROLL_BF16_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/cpu/machine/targets.h"
#include "kernels/cpu/matrices/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {

using FloatTag = hwy::HWY_NAMESPACE::CappedTag<float, kBlock>;
using WordTag = hwy::HWY_NAMESPACE::RebindToUnsigned<FloatTag>;
using HalfTag = hwy::HWY_NAMESPACE::Rebind<uint16_t, FloatTag>;
using Float = hwy::HWY_NAMESPACE::Vec<FloatTag>;
using Word = hwy::HWY_NAMESPACE::Vec<WordTag>;

using Half = hwy::HWY_NAMESPACE::Vec<HalfTag>;

/// The nearest bf16, ties to even. Infinity stays infinite, and a NaN that hardware computed stays
/// NaN.
HWY_INLINE Half round_to_bf16(Float x) {
#if UNROLL_AVX512
  // Every CPU with a tile unit has this instruction (has_tile_unit), and no other with AVX-512
  // computes in bf16. As assembly, because Highway's target does not include it.
  __m256i result;
  asm("vcvtneps2bf16 %1, %0" : "=v"(result) : "v"(x.raw));
  return Half{result};
#else
  namespace hn = hwy::HWY_NAMESPACE;
  const WordTag words;
  const auto bits = hn::BitCast(words, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFF)));
  return hn::TruncateTo(HalfTag(), hn::ShiftRight<16>(rounded));
#endif
}

/// Each in the lower half of a word.
HWY_INLINE Word lower_half(Half x) { return hwy::HWY_NAMESPACE::PromoteTo(WordTag(), x); }
/// Each in the upper half of a word, zeros below: a float's bits.
HWY_INLINE Word upper_half(Half x) { return hwy::HWY_NAMESPACE::ShiftLeft<16>(lower_half(x)); }
HWY_INLINE Float to_float(Half x) { return hwy::HWY_NAMESPACE::BitCast(FloatTag(), upper_half(x)); }

/// x in `kParts` parts.
template <int kParts>
struct Split {
  Half part[kParts];

  explicit HWY_INLINE Split(Float x) {
    part[0] = round_to_bf16(x);
    if constexpr (kParts == 2) {
      part[1] = round_to_bf16(hwy::HWY_NAMESPACE::Sub(x, to_float(part[0])));
    }
  }
};

/// As many bf16 from here on as a vector has lanes, as floats.
HWY_INLINE Float load_bf16(const Bf16* from) {
  return to_float(hwy::HWY_NAMESPACE::LoadU(HalfTag(), from));
}

HWY_INLINE void store_bf16(Half x, Bf16* to) { hwy::HWY_NAMESPACE::StoreU(x, HalfTag(), to); }

}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
