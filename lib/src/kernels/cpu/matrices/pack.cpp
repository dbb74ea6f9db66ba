#include "kernels/cpu/matrices/pack.h"

#include <algorithm>

#include "kernels/cpu/machine/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matrices/pack.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include "kernels/cpu/matrices/bf16-inl.h"
#include "kernels/cpu/matrices/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
constexpr int64_t kLanes = hn::MaxLanes(FloatTag());

// The values from row k and column n on, (16, 16), zeros where W ends. They are copied when they do
// not lie row by row in W.
class Block {
 public:
  Block(const StridedMatrix& W, int64_t k, int64_t n)
      : rows_(std::min(kBlock, W.rows - k)), values_(&W(k, n)), stride_(W.row_stride) {
    const int64_t columns = std::min(kBlock, W.columns - n);
    const bool whole = rows_ == kBlock && columns == kBlock;
    if (whole && W.column_stride == 1) {
      return;
    }
    if (whole && W.row_stride == 1) {
      transpose_16x16(reinterpret_cast<const uint32_t*>(values_), W.column_stride,
                      reinterpret_cast<uint32_t*>(copy_), kBlock);
    } else {
      std::fill_n(copy_, kBlock * kBlock, 0.0F);
      for (int64_t i = 0; i < rows_; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          copy_[i * kBlock + j] = W(k + i, n + j);
        }
      }
    }
    values_ = copy_;
    stride_ = kBlock;
  }

  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  int64_t rows() const { return rows_; }
  HWY_INLINE Float load(int64_t i, int64_t j) const {
    return hn::LoadU(FloatTag(), values_ + i * stride_ + j);
  }

 private:
  int64_t rows_;
  const float* values_;
  int64_t stride_;
  alignas(64) float copy_[kBlock * kBlock];
};

template <int kParts>
void store(const Block& block, int64_t k, int64_t column, RightTiles& to) {
  const WordTag words;
  Bf16* const first = to.at(k / kTileDepth, column) + k % kTileDepth * kTileRows;
  for (int64_t i = 0; i < kBlock; i += 2) {
    for (int64_t j = 0; j < kBlock; j += kLanes) {
      const Split<kParts> even(block.load(i, j));
      const Split<kParts> odd(block.load(i + 1, j));
      for (int part = 0; part < kParts; ++part) {
        const auto pair = hn::Or(lower_half(even.part[part]), upper_half(odd.part[part]));
        Bf16* const to_pair = first + part * to.part_stride() + i * kTileRows + 2 * j;
        hn::Store(pair, words, reinterpret_cast<uint32_t*>(to_pair));
      }
    }
  }
}

void store(const Block& block, int64_t k, int64_t column, Weights& to) {
  if (to.parts() == 1) {
    store<1>(block, k, column, to.tiles());
  } else if (to.parts() == 2) {
    store<2>(block, k, column, to.tiles());
  } else {
    for (int64_t i = 0; i < block.rows(); ++i) {
      float* const row = to.values().at(k + i, column);
      for (int64_t j = 0; j < kBlock; j += kLanes) {
        hn::Store(block.load(i, j), FloatTag(), row + j);
      }
    }
  }
}

void pack(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t first, int64_t last,
          Weights& packed) {
  // Along W's rows, as they lie in memory as a rule
  for (int64_t k = first * kBlock; k < std::min(last * kBlock, W.rows); k += kBlock) {
    for (int64_t u = 0; u < gates.blocks(); ++u) {
      store(Block(W, k, u * kBlock), k, gates.column(u, gate), packed);
    }
  }
}

void pack_transposed(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t first,
                     int64_t last, Weights& packed) {
  const StridedMatrix transposed{W.data, W.columns, W.rows, W.column_stride, W.row_stride};
  for (int64_t k = first * kBlock; k < std::min(last * kBlock, W.rows); k += kBlock) {
    for (int64_t u = 0; u < gates.blocks(); ++u) {
      store(Block(transposed, u * kBlock, k), gates.column(u, gate), k, packed);
    }
  }
}

void unpack_block(const float* C, int64_t stride, int64_t rows, int64_t columns, int64_t row,
                  int64_t column, const StridedMatrix& W) {
  int64_t i = 0;
  if (W.column_stride == 1) {
    for (; i < rows; ++i) {
      std::copy_n(C + i * stride, columns, &W(row + i, column));
    }
  } else if (W.row_stride == 1 && columns == kBlock) {
    for (; i + kBlock <= rows; i += kBlock) {
      transpose_16x16(reinterpret_cast<const uint32_t*>(C + i * stride), stride,
                      reinterpret_cast<uint32_t*>(&W(row + i, column)), W.column_stride);
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      W(row + i, column + j) = C[i * stride + j];
    }
  }
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(pack);
HWY_EXPORT(pack_transposed);
HWY_EXPORT(unpack_block);

void pack(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t first, int64_t last,
          Weights& packed) {
  HWY_DYNAMIC_DISPATCH(pack)(W, gates, gate, first, last, packed);
}

void pack_transposed(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t first,
                     int64_t last, Weights& packed) {
  HWY_DYNAMIC_DISPATCH(pack_transposed)(W, gates, gate, first, last, packed);
}

void unpack_block(const float* C, int64_t stride, int64_t rows, int64_t columns, int64_t row,
                  int64_t column, const StridedMatrix& W) {
  HWY_DYNAMIC_DISPATCH(unpack_block)(C, stride, rows, columns, row, column, W);
}

}  // namespace unroll::cpu
#endif
