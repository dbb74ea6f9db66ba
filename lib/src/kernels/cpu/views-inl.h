// Per-target include guard, as Highway's own -inl.h files have it
#if defined(UNROLL_VIEWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNROLL_VIEWS_INL_H_
#undef UNROLL_VIEWS_INL_H_
#else
#define UNROLL_VIEWS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/cpu/activations.h"
#include "kernels/cpu/bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {

// One block of columns of a matrix over time, in one of its forms: what a pointwise formula reads
// and writes. (t, b, k) is lane k of the block in step t of sequence b. Where the block stands in
// its panel or tile is worked out once, so that a row costs a multiplication. A view of a constant
// matrix is only read.

/// As float32.
class ValuesView {
 public:
  HWY_INLINE ValuesView(const Activations& matrix, int64_t column)
      : ValuesView(matrix.values(), column, matrix.batch_size()) {}
  /// Of a matrix that has no steps, or is read by row.
  HWY_INLINE ValuesView(const Panels& matrix, int64_t column, int64_t batch_size = 0)
      : first_(const_cast<float*>(matrix.at(0, column))),
        stride_(matrix.row_stride()),
        batch_size_(batch_size) {}

  HWY_INLINE float* row(int64_t row) const { return first_ + row * stride_; }
  HWY_INLINE float* at(int64_t t, int64_t b) const { return row(t * batch_size_ + b); }
  HWY_INLINE Float load(int64_t t, int64_t b, int64_t k) const {
    return hwy::HWY_NAMESPACE::Load(FloatTag(), at(t, b) + k);
  }
  HWY_INLINE void store(int64_t t, int64_t b, int64_t k, Float value) const {
    hwy::HWY_NAMESPACE::Store(value, FloatTag(), at(t, b) + k);
  }

 private:
  float* first_;
  int64_t stride_;
  int64_t batch_size_;
};

/// As tiles for the left side of a product.
template <int kParts>
class LeftView {
 public:
  HWY_INLINE LeftView(const Activations& matrix, int64_t column)
      : matrix_(matrix), depth_(column / kTileDepth), column_(column % kTileDepth) {}

  HWY_INLINE Float load(int64_t t, int64_t b, int64_t k) const {
    const Bf16* const from = at(t, b) + k;
    auto value = load_bf16(from);
    if constexpr (kParts == 2) {
      value = hwy::HWY_NAMESPACE::Add(value, load_bf16(from + matrix_.left().part_stride()));
    }
    return value;
  }
  HWY_INLINE void store(int64_t t, int64_t b, int64_t k, Float value) const {
    store(t, b, k, Split<kParts>(value));
  }
  HWY_INLINE void store(int64_t t, int64_t b, int64_t k, const Split<kParts>& value) const {
    Bf16* const to = at(t, b) + k;
    store_bf16(value.part[0], to);
    if constexpr (kParts == 2) {
      store_bf16(value.part[1], to + matrix_.left().part_stride());
    }
  }

 private:
  HWY_INLINE Bf16* at(int64_t t, int64_t b) const {
    return matrix_.left().at(matrix_.row_tile(t, b), depth_) + b % kTileRows * kTileDepth + column_;
  }

  const Activations& matrix_;
  int64_t depth_;
  int64_t column_;
};

/// A hidden state that products read and, where `kAlsoValues`, formulas read in full precision.
template <int kParts, bool kAlsoValues>
class StateView {
 public:
  HWY_INLINE StateView(const Activations& matrix, int64_t column)
      : left_(matrix, column), values_(matrix, column) {}

  HWY_INLINE Float load(int64_t t, int64_t b, int64_t k) const { return values_.load(t, b, k); }
  HWY_INLINE void store(int64_t t, int64_t b, int64_t k, Float value) const {
    left_.store(t, b, k, value);
    values_.store(t, b, k, value);
  }

 private:
  LeftView<kParts> left_;
  ValuesView values_;
};
template <int kParts>
class StateView<kParts, false> : public LeftView<kParts> {
 public:
  HWY_INLINE StateView(const Activations& matrix, int64_t column)
      : LeftView<kParts>(matrix, column) {}
};

/// A gradient: tiles for the left side of the products of the step before, and for the right side
/// of those over all steps.
template <int kParts>
class GradientView {
 public:
  HWY_INLINE GradientView(const Activations& matrix, int64_t column)
      : left_(matrix, column),
        first_(matrix.right().at(0, column)),
        depth_stride_(matrix.right().depth_stride()),
        part_stride_(matrix.right().part_stride()),
        depth_of_step_(matrix.depth_of_step()) {}

  HWY_INLINE void store(int64_t t, int64_t b, int64_t k, Float value) const {
    const Split<kParts> split(value);
    left_.store(t, b, k, split);
    Bf16* const pair = first_ + (t * depth_of_step_ + b / kTileDepth) * depth_stride_ +
                       b % kTileDepth / 2 * kTileDepth + 2 * k;
    for (int part = 0; part < kParts; ++part) {
      store_half(split.part[part], b % 2 == 1, pair + part * part_stride_);
    }
  }

 private:
  // The upper halves of the words become the upper or the lower halves of those in memory.
  static HWY_INLINE void store_half(Word word, bool upper, Bf16* to) {
    namespace hn = hwy::HWY_NAMESPACE;
    [[maybe_unused]] const WordTag words;
#if HWY_TARGET == HWY_SCALAR
    to[upper ? 1 : 0] = static_cast<Bf16>(hn::GetLane(hn::ShiftRight<16>(word)));
#else
    const hn::Repartition<uint16_t, WordTag> halves;
    const auto moved = upper ? word : hn::ShiftRight<16>(word);
    const auto which = hn::Set(words, upper ? 0xFFFF0000U : 0x0000FFFFU);
    hn::BlendedStore(hn::BitCast(halves, moved), hn::MaskFromVec(hn::BitCast(halves, which)),
                     halves, to);
#endif
  }

  LeftView<kParts> left_;
  Bf16* first_;
  int64_t depth_stride_;
  int64_t part_stride_;
  int64_t depth_of_step_;
};

}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
