// Per-target include guard, as Highway's own -inl.h files have it
#if defined(UNROLL_VIEWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNROLL_VIEWS_INL_H_
#undef UNROLL_VIEWS_INL_H_
#else
#define UNROLL_VIEWS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/cpu/matrices/activations.h"
#include "kernels/cpu/matrices/bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {

// One block of columns of one step of a matrix over time, in one of its forms: what a pointwise
// formula reads and writes. (b, k) is lane k of the block in sequence b. The block's address is
// computed once, so that a row costs an addition or two. A view of a constant matrix is only
// read.

/// As float32; c may go on into the panel's next blocks.
class ValuesView {
 public:
  HWY_INLINE ValuesView(const Activations& matrix, int64_t t, int64_t column)
      : ValuesView(matrix.values(), t * matrix.batch_size(), column) {}
  /// The rows from `first_row` on.
  HWY_INLINE ValuesView(const Panels& matrix, int64_t first_row, int64_t column)
      : first_(const_cast<float*>(matrix.at(first_row, column))),
        row_stride_(matrix.strip()),
        block_stride_(matrix.block_stride()) {}

  HWY_INLINE Float load(int64_t b, int64_t c) const {
    return hwy::HWY_NAMESPACE::Load(FloatTag(), at(b, c));
  }
  HWY_INLINE void store(int64_t b, int64_t c, Float value) const {
    hwy::HWY_NAMESPACE::Store(value, FloatTag(), at(b, c));
  }

 private:
  HWY_INLINE float* at(int64_t b, int64_t c) const {
    return first_ + c / kBlock * block_stride_ + b * row_stride_ + c % kBlock;
  }

  float* first_;
  int64_t row_stride_;
  int64_t block_stride_;
};

/// As float32 in the panels of states; c may go on into the next ones.
class StateValuesView {
 public:
  HWY_INLINE StateValuesView(const Activations& matrix, int64_t t, int64_t column)
      : first_(const_cast<float*>(matrix.values().at(t * matrix.batch_size(), column))),
        strip_stride_(matrix.values().strip_stride()) {}

  HWY_INLINE Float load(int64_t b, int64_t c) const {
    return hwy::HWY_NAMESPACE::Load(FloatTag(), at(b, c));
  }
  HWY_INLINE void store(int64_t b, int64_t c, Float value) const {
    hwy::HWY_NAMESPACE::Store(value, FloatTag(), at(b, c));
  }

 private:
  HWY_INLINE float* at(int64_t b, int64_t c) const {
    return first_ + c / kStatePanel * strip_stride_ + b * kStatePanel + c % kStatePanel;
  }

  float* first_;
  int64_t strip_stride_;
};

/// As tiles for the left side of a product.
template <int kParts>
class LeftView {
 public:
  HWY_INLINE LeftView(const Activations& matrix, int64_t t, int64_t column)
      : first_(matrix.left().at(matrix.row_tile(t, 0), column / kTileDepth) + column % kTileDepth),
        row_stride_(matrix.left().row_stride()),
        part_stride_(matrix.left().part_stride()) {}

  HWY_INLINE Float load(int64_t b, int64_t c) const {
    const Bf16* const from = at(b) + offset(c);
    auto value = load_bf16(from);
    if constexpr (kParts == 2) {
      value = hwy::HWY_NAMESPACE::Add(value, load_bf16(from + part_stride_));
    }
    return value;
  }
  HWY_INLINE void store(int64_t b, int64_t c, Float value) const {
    store(b, c, Split<kParts>(value));
  }
  HWY_INLINE void store(int64_t b, int64_t c, const Split<kParts>& value) const {
    Bf16* const to = at(b) + offset(c);
    store_bf16(value.part[0], to);
    if constexpr (kParts == 2) {
      store_bf16(value.part[1], to + part_stride_);
    }
  }

 private:
  // Into the tile, and on to the next ones. Only a view of one block begins in a tile's middle.
  static HWY_INLINE int64_t offset(int64_t c) {
    return c / kTileDepth * kTileSize + c % kTileDepth;
  }
  HWY_INLINE Bf16* at(int64_t b) const {
    const auto row = static_cast<uint64_t>(b);
    return first_ + row / kTileRows * row_stride_ + row % kTileRows * kTileDepth;
  }

  Bf16* first_;
  uint64_t row_stride_;
  int64_t part_stride_;
};

/// A hidden state that products read and, where `kAlsoValues`, formulas read in full precision.
template <int kParts, bool kAlsoValues>
class StateView {
 public:
  HWY_INLINE StateView(const Activations& matrix, int64_t t, int64_t column)
      : left_(matrix, t, column), values_(matrix, t, column) {}

  HWY_INLINE Float load(int64_t b, int64_t c) const { return values_.load(b, c); }
  HWY_INLINE void store(int64_t b, int64_t c, Float value) const {
    left_.store(b, c, value);
    values_.store(b, c, value);
  }

 private:
  LeftView<kParts> left_;
  StateValuesView values_;
};
template <int kParts>
class StateView<kParts, false> : public LeftView<kParts> {
 public:
  HWY_INLINE StateView(const Activations& matrix, int64_t t, int64_t column)
      : LeftView<kParts>(matrix, t, column) {}
};

/// A gradient: tiles for the left side of the products of the step before, and for the right side
/// of those over all steps.
template <int kParts>
class GradientView {
 public:
  HWY_INLINE GradientView(const Activations& matrix, int64_t t, int64_t column)
      : left_(matrix, t, column),
        first_(matrix.right().at(t * matrix.depth_of_step(), column)),
        depth_stride_(matrix.right().depth_stride()),
        pair_stride_(matrix.right().pair_stride()),
        part_stride_(matrix.right().part_stride()) {}

  HWY_INLINE void store(int64_t b, int64_t c, Float value) const {
    const Split<kParts> split(value);
    left_.store(b, c, split);
    const auto row = static_cast<uint64_t>(b);
    Bf16* const pair =
        first_ + row / kTileDepth * depth_stride_ + row % kTileDepth / 2 * kTileDepth + offset(c);
    for (int part = 0; part < kParts; ++part) {
      store_halves(split.part[part], row % 2 == 1, pair + part * part_stride_);
    }
  }

 private:
  HWY_INLINE int64_t offset(int64_t c) const {
    return c / kTileDepth * pair_stride_ + c / kBlock % 2 * kTileSize + c % kBlock * 2;
  }

  // They become the upper or the lower halves of the words in memory.
  static HWY_INLINE void store_halves(Half x, bool upper, Bf16* to) {
    namespace hn = hwy::HWY_NAMESPACE;
#if HWY_TARGET == HWY_SCALAR
    to[upper ? 1 : 0] = hn::GetLane(x);
#else
    const WordTag words;
    const hn::Repartition<uint16_t, WordTag> halves;
    const auto moved = upper ? upper_half(x) : lower_half(x);
    const auto which = hn::Set(words, upper ? 0xFFFF0000U : 0x0000FFFFU);
    hn::BlendedStore(hn::BitCast(halves, moved), hn::MaskFromVec(hn::BitCast(halves, which)),
                     halves, to);
#endif
  }

  LeftView<kParts> left_;
  Bf16* first_;
  uint64_t depth_stride_;
  int64_t pair_stride_;
  int64_t part_stride_;
};

}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
