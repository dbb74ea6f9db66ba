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

// A slab is the part of a product's weights, (depth, columns), that a block keeps. Its threads
// share the depth in slices, each of which gives a partial sum. All kinds have:
//
//   load(depth, columns, weight)     weight(k, n) gives weights of 0 <= k < depth, 0 <= n < columns
//   multiply<S>(values, partials)    values [k][s], as they are exchanged, finite up to the padded
//                                    depth of the layout -> partials [slice][column][s]

/// In the registers of its threads: warp w has the kDepth rows from w * kDepth on, lane l of it
/// columns l, l + 32, ... A multiply-add reads its weight without a load; the values, the same for
/// all lanes, are broadcast.
template <int kDepth, int kColumns>
class RegisterSlab {
 public:
  UNROLL_DEVICE int slices() const { return kWarps; }

  template <typename Weight>
  UNROLL_DEVICE void load(int depth, int columns, const Weight& weight) {
    columns_ = columns;
    UNROLL_LOOP
    for (int i = 0; i < kDepth; ++i) {
      UNROLL_LOOP
      for (int j = 0; j < kColumns; ++j) {
        const int k = warp_index() * kDepth + i;
        const int n = lane_index() + j * kLanes;
        weights_[i][j] = k < depth && n < columns ? weight(k, n) : 0.0F;
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
        UNROLL_LOOP
        for (int s = 0; s < kAtOnce; ++s) {
          partials[(warp_index() * columns_ + n) * S + s] = sums[j][s];
        }
      }
    }
  }

  int columns_ = 0;
  float weights_[kDepth][kColumns];
};

/// The same with weights in any memory, `row` floats from one k to the next; up to kColumns a lane.
/// Where there are fewer columns than lanes, the lanes of a warp share the depth too.
template <int kColumns, int S>
UNROLL_DEVICE void multiply_memory(const float* weights, int64_t row, int depth, int columns,
                                   const float* values, float* partials) {
  const int lanes = lanes_of(columns);
  const int slices = shared_slices(columns);
  const int slice = warp_index() * (kLanes / lanes) + lane_index() / lanes;
  const int first = lane_index() % lanes;
  const int each = (depth + slices - 1) / slices;
  const int begin = slice * each;
  const int end = begin + each < depth ? begin + each : depth;
  float sums[kColumns][S] = {};
  for (int k = begin; k < end; ++k) {
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
      UNROLL_LOOP
      for (int s = 0; s < S; ++s) {
        partials[(slice * columns + n) * S + s] = sums[j][s];
      }
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

  template <typename Weight>
  UNROLL_DEVICE void load(int depth, int columns, const Weight& weight) {
    depth_ = depth;
    columns_ = columns;
    for (int i = thread_index(); i < depth * columns; i += kThreads) {
      weights_[i] = weight(i / columns, i % columns);
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

// The same on tensor cores, for 8 sequences: weights and values are rounded to bf16. A tile of
// weights is W_h transposed, (columns, depth), so that sequences are the columns of its product.

/// A lane's part of a tile: rows l / 4 and 8 more, of each four weights in pairs.
struct alignas(16) TilePart {
  uint32_t weights[4];

  /// Tile `i` of the depth and `j` of the columns.
  template <typename Weight>
  UNROLL_DEVICE void load(int i, int j, int depth, int columns, const Weight& weight) {
    UNROLL_LOOP
    for (int r = 0; r < 4; ++r) {
      const int n = j * kTile + lane_index() / 4 + r % 2 * 8;
      const int k = i * kTile + lane_index() % 4 * 2 + r / 2 * 8;
      const float first = k < depth && n < columns ? weight(k, n) : 0.0F;
      const float second = k + 1 < depth && n < columns ? weight(k + 1, n) : 0.0F;
      weights[r] = round_to_bf16(first, second);
    }
  }
};

/// A lane's part of tile i of the values, in pairs [k / 2][s]; neighbouring lanes have no bank of
/// shared memory in common.
UNROLL_DEVICE void load_values(const uint32_t* values, int i, uint32_t (&part)[2]) {
  constexpr int S = kTileSequences;
  const uint32_t* mine = values + (i * kTile / 2 + lane_index() % 4) * S + lane_index() / 4;
  part[0] = mine[0];
  part[1] = mine[4 * S];
}

/// A lane's part of tile j of a warp's sums.
UNROLL_DEVICE void store_sums(const float (&sums)[4], int j, int columns, float* partials) {
  UNROLL_LOOP
  for (int r = 0; r < 4; ++r) {
    const int n = j * kTile + lane_index() / 4 + r / 2 * 8;
    const int s = lane_index() % 4 * 2 + r % 2;
    if (n < columns) {
      partials[(warp_index() * columns + n) * kTileSequences + s] = sums[r];
    }
  }
}

/// In the registers of its threads: warp w has the kDepth tiles from w * kDepth on.
template <int kDepth, int kColumns>
class RegisterTileSlab {
 public:
  UNROLL_DEVICE int slices() const { return kWarps; }

  template <typename Weight>
  UNROLL_DEVICE void load(int depth, int columns, const Weight& weight) {
    columns_ = columns;
    UNROLL_LOOP
    for (int i = 0; i < kDepth; ++i) {
      UNROLL_LOOP
      for (int j = 0; j < kColumns; ++j) {
        parts_[i][j].load(warp_index() * kDepth + i, j, depth, columns, weight);
      }
    }
  }

  template <int S>
  UNROLL_DEVICE void multiply(const uint32_t* values, float* partials) const {
    static_assert(S == kTileSequences);
    float sums[kColumns][4] = {};
    UNROLL_LOOP
    for (int i = 0; i < kDepth; ++i) {
      uint32_t part[2];
      load_values(values, warp_index() * kDepth + i, part);
      UNROLL_LOOP
      for (int j = 0; j < kColumns; ++j) {
        multiply_tiles(parts_[i][j].weights, part, sums[j]);
      }
    }
    UNROLL_LOOP
    for (int j = 0; j < kColumns; ++j) {
      store_sums(sums[j], j, columns_, partials);
    }
  }

 private:
  int columns_ = 0;
  TilePart parts_[kDepth][kColumns];
};

/// In shared memory, for any depth and up to kColumns columns a lane, as SharedSlab; a lane's part
/// of a tile is contiguous.
template <int kColumns>
class SharedTileSlab {
 public:
  /// `memory`: tile_floats(depth, columns), on 16 bytes.
  UNROLL_DEVICE explicit SharedTileSlab(float* memory)
      : parts_(reinterpret_cast<TilePart*>(memory)) {}

  UNROLL_DEVICE int slices() const { return kWarps; }

  template <typename Weight>
  UNROLL_DEVICE void load(int depth, int columns, const Weight& weight) {
    depth_ = in_tiles(depth);
    columns_ = columns;
    const int across = in_tiles(columns);
    for (int tile = warp_index(); tile < depth_ * across; tile += kWarps) {
      parts_[tile * kLanes + lane_index()].load(tile / across, tile % across, depth, columns,
                                                weight);
    }
  }

  template <int S>
  UNROLL_DEVICE void multiply(const uint32_t* values, float* partials) const {
    static_assert(S == kTileSequences);
    const int across = in_tiles(columns_);
    float sums[kMost][4] = {};
    for (int i = warp_index(); i < depth_; i += kWarps) {
      uint32_t part[2];
      load_values(values, i, part);
      UNROLL_LOOP
      for (int j = 0; j < kMost; ++j) {
        if (j < across) {
          const TilePart mine = parts_[(i * across + j) * kLanes + lane_index()];
          multiply_tiles(mine.weights, part, sums[j]);
        }
      }
    }
    UNROLL_LOOP
    for (int j = 0; j < kMost; ++j) {
      if (j < across) {
        store_sums(sums[j], j, columns_, partials);
      }
    }
  }

 private:
  static constexpr int kMost = kColumns * kLanes / kTile;
  TilePart* parts_;
  int depth_ = 0;  // in tiles
  int columns_ = 0;
};

}  // namespace unroll::cuda
