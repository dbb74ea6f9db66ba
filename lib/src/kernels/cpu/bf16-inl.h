// Per-target include guard, as Highway's own -inl.h files have it
#if defined(UNROLL_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNROLL_BF16_INL_H_
#undef UNROLL_BF16_INL_H_
#else
#define UNROLL_BF16_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/cpu/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {

using FloatTag = hwy::HWY_NAMESPACE::CappedTag<float, kBlock>;
using WordTag = hwy::HWY_NAMESPACE::RebindToUnsigned<FloatTag>;
using HalfTag = hwy::HWY_NAMESPACE::Rebind<uint16_t, FloatTag>;
using Float = hwy::HWY_NAMESPACE::Vec<FloatTag>;
using Word = hwy::HWY_NAMESPACE::Vec<WordTag>;

/// The nearest bf16, ties to even, in the upper half of each word; the lower half holds rubbish.
/// What is not a number stays so, as hardware makes it; infinity stays infinite.
HWY_INLINE Word round_to_bf16(Float x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const WordTag words;
  const auto bits = hn::BitCast(words, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  return hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFF)));
}

/// The float whose upper half is that of each word.
HWY_INLINE Float upper_half(Word word) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::BitCast(FloatTag(), hn::And(word, hn::Set(WordTag(), 0xFFFF0000U)));
}

/// x in `kParts` parts, each in the upper half of a word.
template <int kParts>
struct Split {
  Word part[kParts];

  explicit HWY_INLINE Split(Float x) {
    part[0] = round_to_bf16(x);
    if constexpr (kParts == 2) {
      part[1] = round_to_bf16(hwy::HWY_NAMESPACE::Sub(x, upper_half(part[0])));
    }
  }
};

/// As many bf16 from here on as a vector has lanes, as floats.
HWY_INLINE Float load_bf16(const Bf16* from) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::BitCast(FloatTag(),
                     hn::ShiftLeft<16>(hn::PromoteTo(WordTag(), hn::LoadU(HalfTag(), from))));
}

/// The upper halves of the words, side by side.
HWY_INLINE void store_bf16(Word word, Bf16* to) {
  namespace hn = hwy::HWY_NAMESPACE;
  hn::StoreU(hn::TruncateTo(HalfTag(), hn::ShiftRight<16>(word)), HalfTag(), to);
}

}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
