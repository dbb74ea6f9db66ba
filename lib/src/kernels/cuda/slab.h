#pragma once

#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"

namespace unroll::cuda {

UNROLL_DEVICE int warp_index() { return thread_index() / kLanes; }
UNROLL_DEVICE int lane_index() { return thread_index() % kLanes; }

/// Adds value[k][s] * weight[n] to sums[n][s] for the S sequences of one k.
template <int kColumns, int S>
UNROLL_DEVICE void multiply_add(const float (&weights)[kColumns], const float* values,
                                float (&sums)[kColumns][S]) {
  float v[S];
  if constexpr (S % 4 == 0) {
    UNROLL_LOOP
    for (int s = 0; s < S; s += 4) {
      const float4 four = *reinterpret_cast<const float4*>(values + s);
      v[s] = four.x;
      v[s + 1] = four.y;
      v[s + 2] = four.z;
      v[s + 3] = four.w;
    }
  } else if constexpr (S == 2) {
    const float2 two = *reinterpret_cast<const float2*>(values);
    v[0] = two.x;
    v[1] = two.y;
  } else {
    v[0] = values[0];
  }
  UNROLL_LOOP
  for (int j = 0; j < kColumns; ++j) {
    UNROLL_LOOP
    for (int s = 0; s < S; ++s) {
      sums[j][s] += weights[j] * v[s];
    }
  }
}

/// Stores the sums of a column for its S sequences, at once as far as possible.
template <int S>
UNROLL_DEVICE void store_sums(const float (&sums)[S], float* to) {
  if constexpr (S % 4 == 0) {
    UNROLL_LOOP
    for (int s = 0; s < S; s += 4) {
      *reinterpret_cast<float4*>(to + s) = {sums[s], sums[s + 1], sums[s + 2], sums[s + 3]};
    }
  } else if constexpr (S == 2) {
    *reinterpret_cast<float2*>(to) = {sums[0], sums[1]};
  } else {
    to[0] = sums[0];
  }
}

/// Calls store(k, load(k)) for k = first, first + step, ... below the end; several are under way
/// before the first is stored.
template <typename Load, typename Store>
UNROLL_DEVICE void load_and_store(int first, int end, int step, const Load& load,
                                  const Store& store) {
  constexpr int kAtOnce = 8;
  for (int k = first; k < end; k += kAtOnce * step) {
    float values[kAtOnce];
    UNROLL_LOOP
    for (int i = 0; i < kAtOnce; ++i) {
      values[i] = k + i * step < end ? load(k + i * step) : 0.0F;
    }
    UNROLL_LOOP
    for (int i = 0; i < kAtOnce; ++i) {
      if (k + i * step < end) {
        store(k + i * step, values[i]);
      }
    }
  }
}

/// A product's column n for sequence s: the sum of the partial sums.
template <int S>
UNROLL_DEVICE float sum_of(const float* partials, int slices, int columns, int s, int n) {
  float total = 0;
  for (int slice = 0; slice < slices; ++slice) {
    total += partials[(slice * columns + n) * S + s];
  }
  return total;
}

// A slab is the part of a product's weights, (depth, columns), that a block keeps. Its threads
// share the depth in slices, each of which gives a partial sum. All kinds have:
//
//   load(depth, columns, weights)    weights.column(n) says where column n lies, and
//                                    weights.at(k, there) gives weight k of it, 0 <= k < depth;
//                                    zeros for n >= columns
//   multiply<S>(values, partials)    values [k][s], as they are exchanged, finite up to the padded
//                                    depth of the layout -> partials [slice][column][s]

/// In the registers of its threads: warp w has the kDepth rows from w * kDepth on, lane l of it
/// columns l, l + 32, ... A multiply-add reads its weight without a load; the values, the same for
/// all lanes, are broadcast.
template <int kDepth, int kColumns>
class RegisterSlab {
 public:
  UNROLL_DEVICE int slices() const { return kWarps; }

  template <typename Weights>
  UNROLL_DEVICE void load(int depth, int columns, const Weights& weights) {
    columns_ = columns;
    UNROLL_LOOP
    for (int j = 0; j < kColumns; ++j) {
      const int column = weights.column(lane_index() + j * kLanes);
      UNROLL_LOOP
      for (int i = 0; i < kDepth; ++i) {
        const int k = warp_index() * kDepth + i;
        weights_[i][j] = k < depth ? weights.at(k, column) : 0.0F;
      }
    }
  }

  template <int S>
  UNROLL_DEVICE void multiply(const float* values, float* partials) const {
    // Sums take registers as the weights do: for so many sequences at a time there are enough.
    constexpr int kAtOnce = kColumns * S > 16 ? S / 2 : S;
    UNROLL_LOOP
    for (int first = 0; first < S; first += kAtOnce) {
      multiply_some<S, kAtOnce>(values + first, partials + first);
    }
  }

 private:
  template <int S, int kAtOnce>
  UNROLL_DEVICE void multiply_some(const float* values, float* partials) const {
    float sums[kColumns][kAtOnce] = {};
    const float* mine = values + warp_index() * kDepth * S;
    UNROLL_LOOP
    for (int i = 0; i < kDepth; ++i) {
      multiply_add<kColumns, kAtOnce>(weights_[i], mine + i * S, sums);
    }
    UNROLL_LOOP
    for (int j = 0; j < kColumns; ++j) {
      const int n = lane_index() + j * kLanes;
      if (n < columns_) {
        store_sums<kAtOnce>(sums[j], partials + (warp_index() * columns_ + n) * S);
      }
    }
  }

  int columns_ = 0;
  float weights_[kDepth][kColumns];
};

/// The same with weights in any memory, `row` floats from one k to the next; up to kColumns a lane.
/// Where there are fewer columns than lanes, the lanes of a warp share the depth too: neighbours
/// have the next k, so that they read what lies together.
template <int kColumns, int S>
UNROLL_DEVICE void multiply_memory(const float* weights, int64_t row, int depth, int columns,
                                   const float* values, float* partials) {
  const int lanes = lanes_of(columns);
  const int sharing = kLanes / lanes;
  const int share = lane_index() / lanes;
  const int first = lane_index() % lanes;
  const int each = (depth + kWarps - 1) / kWarps;
  const int begin = warp_index() * each;
  const int end = begin + each < depth ? begin + each : depth;
  float sums[kColumns][S] = {};
  for (int k = begin + share; k < end; k += sharing) {
    float of_k[kColumns];
    UNROLL_LOOP
    for (int j = 0; j < kColumns; ++j) {
      const int n = first + j * kLanes;
      of_k[j] = n < columns ? weights[k * row + n] : 0.0F;
    }
    multiply_add<kColumns, S>(of_k, values + k * S, sums);
  }
  UNROLL_LOOP
  for (int j = 0; j < kColumns; ++j) {
    const int n = first + j * kLanes;
    if (n < columns) {
      const int slice = warp_index() * sharing + share;
      store_sums<S>(sums[j], partials + (slice * columns + n) * S);
    }
  }
}

/// In shared memory, for any depth.
template <int kColumns>
class SharedSlab {
 public:
  /// `memory`: depth * columns floats.
  UNROLL_DEVICE explicit SharedSlab(float* memory) : weights_(memory) {}

  UNROLL_DEVICE int slices() const { return shared_slices(columns_); }

  template <typename Weights>
  UNROLL_DEVICE void load(int depth, int columns, const Weights& weights) {
    depth_ = depth;
    columns_ = columns;
    const int lanes = lanes_of(columns);
    const int first = thread_index() / lanes;
    const int rows = kThreads / lanes;
    for (int n = lane_index() % lanes; n < columns; n += lanes) {
      const int column = weights.column(n);
      load_and_store(
          first, depth, rows, [&](int k) { return weights.at(k, column); },
          [&](int k, float weight) { weights_[k * columns + n] = weight; });
    }
  }

  template <int S>
  UNROLL_DEVICE void multiply(const float* values, float* partials) const {
    multiply_memory<kColumns, S>(weights_, columns_, depth_, columns_, values, partials);
  }

 private:
  float* weights_;
  int depth_ = 0;
  int columns_ = 0;
};

}  // namespace unroll::cuda
