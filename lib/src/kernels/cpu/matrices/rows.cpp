#include "kernels/cpu/matrices/rows.h"

#include <algorithm>

#include "kernels/cpu/machine/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matrices/rows.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include "kernels/cpu/matrices/views-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
constexpr FloatTag kTag;
constexpr int64_t kLanes = hn::MaxLanes(FloatTag());

HWY_INLINE void add_to(float* sum, Float value) {
  hn::Store(hn::Add(hn::Load(kTag, sum), value), kTag, sum);
}

// Where row r is summed, of the rows of a panel from `first` on.
HWY_INLINE float* sum_of(const int32_t* slot, int64_t r, float* first, int64_t width) {
  return slot == nullptr ? first : first + slot[r] * width;
}

void sum_values(const Panels& values, const int32_t* slot, int64_t p, Panels& sums) {
  const int64_t width = values.width();
  const int64_t strip = values.strip();
  float* const first = sums.at(0, p * width);
  for (int64_t r = 0; r < values.rows(); ++r) {
    float* to = sum_of(slot, r, first, width);
    const float* from = values.at(r, p * width);
    for (int64_t c = 0; c < values.panel_columns(p); c += strip) {
      for (int64_t k = 0; k < strip; k += kLanes) {
        add_to(to + c + k, hn::Load(kTag, from + k));
      }
      from += values.strip_stride();
    }
  }
}

// The two rows that alternate in a pair of rows on the right side.
HWY_INLINE Float even_row(Word pair) { return hn::BitCast(kTag, hn::ShiftLeft<16>(pair)); }
HWY_INLINE Float odd_row(Word pair) {
  return hn::BitCast(kTag, hn::And(pair, hn::Set(WordTag(), 0xFFFF0000U)));
}

template <int kParts>
void sum_tiles(const Activations& values, const int32_t* slot, int64_t p, Panels& sums) {
  const auto& tiles = values.right();
  const int64_t width = tiles.width();
  const int64_t columns = tiles.panel_columns(p);
  const int64_t pair_stride = tiles.pair_stride();
  const int64_t part_stride = tiles.part_stride();
  float* const first = sums.at(0, p * width);
  const int64_t B = values.batch_size();
  for (int64_t t = 0; t < values.steps(); ++t) {
    for (int64_t b = 0; b < B; b += 2) {
      const Bf16* const from = tiles.at(t * values.depth_of_step() + b / kTileDepth, p * width) +
                               b % kTileDepth * kTileRows;
      float* const even = sum_of(slot, t * B + b, first, width);
      float* const odd = b + 1 < B ? sum_of(slot, t * B + b + 1, first, width) : nullptr;
      const auto add = [&](int64_t c) HWY_ATTR {
        const Bf16* const at =
            from + c / kTileDepth * pair_stride + c / kBlock % 2 * kTileSize + c % kBlock * 2;
        const auto load = [&](int part) HWY_ATTR {
          return hn::Load(WordTag(), reinterpret_cast<const uint32_t*>(at + part * part_stride));
        };
        const auto pair = load(0);
        auto even_value = even_row(pair);
        auto odd_value = odd_row(pair);
        if constexpr (kParts == 2) {
          const auto rest = load(1);
          even_value = hn::Add(even_value, even_row(rest));
          odd_value = hn::Add(odd_value, odd_row(rest));
        }
        add_to(even + c, even_value);
        if (odd != nullptr) {
          add_to(odd + c, odd_value);
        }
      };
      if (columns == kPanel) {  // unrolled, so that all but the rows is known
#pragma GCC unroll 16
        for (int64_t c = 0; c < kPanel; c += kLanes) {
          add(c);
        }
      } else {
        for (int64_t c = 0; c < columns; c += kLanes) {
          add(c);
        }
      }
    }
  }
}

void sum_rows(const Activations& values, const int32_t* slot, int64_t p, Panels& sums) {
  std::fill_n(sums.at(0, p * sums.width()), sums.strip_stride(), 0.0F);
  switch (values.right().parts()) {
    case 1:
      return sum_tiles<1>(values, slot, p, sums);
    case 2:
      return sum_tiles<2>(values, slot, p, sums);
    default:
      return sum_values(values.values(), slot, p, sums);
  }
}

// Calls use(c, values) for each block of a row: its 16 values, zeros past the last column.
template <typename Use>
HWY_INLINE void for_each_block_of(const float* row, int64_t columns, const Use& use) {
  alignas(64) float block[kBlock] = {};
  for (int64_t c = 0; c < columns; c += kBlock) {
    if (row == nullptr) {
      use(c, block);
    } else if (c + kBlock <= columns) {
      use(c, row + c);
    } else {
      std::copy_n(row + c, columns - c, block);
      use(c, block);
    }
  }
}

template <int kParts>
void step_to_tiles(const float* from, int64_t t, Activations& to) {
  const int64_t columns = to.columns();
  for (int64_t b = 0; b < to.batch_size(); ++b) {
    for_each_block_of(from == nullptr ? from : from + b * columns, columns,
                      [&](int64_t c, const float* block) HWY_ATTR {
                        const LeftView<kParts> view(to, t, c);
                        for (int64_t k = 0; k < kBlock; k += kLanes) {
                          view.store(b, k, hn::LoadU(kTag, block + k));
                        }
                      });
  }
}

template <int kParts>
void part_from_tiles(const Activations& from, int64_t t, const MatrixPart& part, float* to) {
  const int64_t columns = from.columns();
  for (int64_t b = part.row; b < part.row + part.rows; ++b) {
    for (int64_t c = part.column; c < std::min(part.column + part.columns, columns); c += kBlock) {
      alignas(64) float block[kBlock];
      const LeftView<kParts> view(from, t, c);
      for (int64_t k = 0; k < kBlock; k += kLanes) {
        hn::Store(view.load(b, k), kTag, block + k);
      }
      std::copy_n(block, std::min(kBlock, columns - c), to + b * columns + c);
    }
  }
}

void part_from_values(const Activations& from, int64_t t, const MatrixPart& part, float* to) {
  const int64_t columns = from.columns();
  const auto& values = from.values();
  for (int64_t b = part.row; b < part.row + part.rows; ++b) {
    for (int64_t c = part.column; c < std::min(part.column + part.columns, columns); c += kBlock) {
      const float* const block = values.at(t * from.batch_size() + b, c);
      if (c + kBlock <= columns) {
        std::copy_n(block, kBlock, to + b * columns + c);
      } else {
        std::copy_n(block, columns - c, to + b * columns + c);
      }
    }
  }
}

void copy_step_in(const float* from, int64_t t, Activations& to) {
  if (!to.values().empty()) {
    cpu::copy_rows_in(from, t * to.batch_size(), to.batch_size(), to.columns(), to.values());
  }
  if (!to.left().empty()) {
    (to.left().parts() == 1 ? step_to_tiles<1> : step_to_tiles<2>)(from, t, to);
  }
}

void copy_part_out(const Activations& from, int64_t t, const MatrixPart& part, float* to) {
  const auto copy = !from.values().empty()     ? part_from_values
                    : from.left().parts() == 1 ? part_from_tiles<1>
                                               : part_from_tiles<2>;
  copy(from, t, part, to);
}

template <typename From, typename To>
void scale_step_of(const Activations& from, int64_t from_t, const float* factors, int64_t to_t,
                   Activations& to) {
  const int64_t columns = to.columns();
  for (int64_t b = 0; b < to.batch_size(); ++b) {
    for_each_block_of(factors + b * columns, columns, [&](int64_t c, const float* block) HWY_ATTR {
      const From source(from, from_t, c);
      const To result(to, to_t, c);
      for (int64_t k = 0; k < kBlock; k += kLanes) {
        result.store(b, k, hn::Mul(source.load(b, k), hn::LoadU(kTag, block + k)));
      }
    });
  }
}

template <int kParts>
void scale_step_in_tiles(const Activations& from, int64_t from_t, const float* factors,
                         int64_t to_t, Activations& to) {
  // Values, where they are kept beside the tiles, have not been rounded yet.
  const bool values = !from.values().empty();
  (values ? scale_step_of<ValuesView, LeftView<kParts>>
          : scale_step_of<LeftView<kParts>, LeftView<kParts>>)(from, from_t, factors, to_t, to);
}

void scale_step(const Activations& from, int64_t from_t, const float* factors, int64_t to_t,
                Activations& to) {
  switch (to.left().parts()) {
    case 1:
      return scale_step_in_tiles<1>(from, from_t, factors, to_t, to);
    case 2:
      return scale_step_in_tiles<2>(from, from_t, factors, to_t, to);
    default:
      return scale_step_of<ValuesView, ValuesView>(from, from_t, factors, to_t, to);
  }
}

void scale_rows(const float* factors, int64_t first_row, int64_t rows, Panels& values) {
  const int64_t columns = values.columns();
  for (int64_t r = 0; r < rows; ++r) {
    for_each_block_of(factors + r * columns, columns, [&](int64_t c, const float* block) HWY_ATTR {
      float* const to = values.at(first_row + r, c);
      for (int64_t k = 0; k < kBlock; k += kLanes) {
        hn::Store(hn::Mul(hn::Load(kTag, to + k), hn::LoadU(kTag, block + k)), kTag, to + k);
      }
    });
  }
}

template <int kParts>
void values_to_tiles_of(int64_t begin, int64_t end, Activations& matrix) {
  for (int64_t column = 0; column < matrix.columns(); column += kBlock) {
    for (int64_t t = begin; t < end; ++t) {
      const ValuesView from(matrix, t, column);
      const GradientView<kParts> to(matrix, t, column);
      for (int64_t b = 0; b < matrix.batch_size(); ++b) {
        for (int64_t k = 0; k < kBlock; k += kLanes) {
          to.store(b, k, from.load(b, k));
        }
      }
    }
  }
}

void values_to_tiles(int64_t begin, int64_t end, Activations& matrix) {
  (matrix.left().parts() == 1 ? values_to_tiles_of<1> : values_to_tiles_of<2>)(begin, end, matrix);
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(sum_rows);
HWY_EXPORT(copy_step_in);
HWY_EXPORT(copy_part_out);
HWY_EXPORT(scale_step);
HWY_EXPORT(scale_rows);
HWY_EXPORT(values_to_tiles);

void sum_rows(const Activations& values, const int32_t* slot, int64_t p, Panels& sums) {
  HWY_DYNAMIC_DISPATCH(sum_rows)(values, slot, p, sums);
}

void copy_step_in(const float* from, int64_t t, Activations& to) {
  HWY_DYNAMIC_DISPATCH(copy_step_in)(from, t, to);
}

void copy_part_out(const Activations& from, int64_t t, const MatrixPart& part, float* to) {
  HWY_DYNAMIC_DISPATCH(copy_part_out)(from, t, part, to);
}

void copy_step_out(const Activations& from, int64_t t, float* to) {
  copy_part_out(from, t, {0, from.batch_size(), 0, from.columns()}, to);
}

void scale_step(const Activations& from, int64_t from_t, const float* factors, int64_t to_t,
                Activations& to) {
  HWY_DYNAMIC_DISPATCH(scale_step)(from, from_t, factors, to_t, to);
}

void scale_rows(const float* factors, int64_t first_row, int64_t rows, Panels& values) {
  HWY_DYNAMIC_DISPATCH(scale_rows)(factors, first_row, rows, values);
}

void values_to_tiles(int64_t begin, int64_t end, Activations& matrix) {
  HWY_DYNAMIC_DISPATCH(values_to_tiles)(begin, end, matrix);
}

void scale(float factor, Panels& values) {
  float* const first = values.at(0, 0);
  std::transform(first, first + values.size(), first, [&](float value) { return value * factor; });
}

void copy_rows_in(const float* from, int64_t first_row, int64_t rows, int64_t columns, Panels& to) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* const row = from == nullptr ? nullptr : from + r * columns;
    for (int64_t c = 0; c < columns; c += kBlock) {
      float* const block = to.at(first_row + r, c);
      if (row == nullptr) {
        std::fill_n(block, kBlock, 0.0F);
      } else if (c + kBlock <= columns) {
        std::copy_n(row + c, kBlock, block);
      } else {
        std::fill_n(std::copy_n(row + c, columns - c, block), kBlock - (columns - c), 0.0F);
      }
    }
  }
}

void copy_rows_out(const Panels& from, int64_t first_row, int64_t rows, int64_t columns,
                   float* to) {
  for (int64_t r = 0; r < rows; ++r) {
    float* const row = to + r * columns;
    int64_t c = 0;
    for (; c + kBlock <= columns; c += kBlock) {
      std::copy_n(from.at(first_row + r, c), kBlock, row + c);
    }
    if (c < columns) {
      std::copy_n(from.at(first_row + r, c), columns - c, row + c);
    }
  }
}

}  // namespace unroll::cpu
#endif
