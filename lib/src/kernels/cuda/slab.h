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

// The same on tensor cores, for 8 sequences: weights and values are rounded to bf16. A tile of
// weights is W_h transposed, (columns, depth), so that sequences are the columns of its product.

/// Where the columns of tile j lie of which a lane has a part.
struct TileColumns {
  template <typename Weights>
  UNROLL_DEVICE TileColumns(const Weights& weights, int j)
      : low(weights.column(j * kTile + lane_index() / 4)),
        high(weights.column(j * kTile + lane_index() / 4 + 8)) {}

  int low;
  int high;
};

/// A lane's part of a tile: rows l / 4 and 8 more, of each four weights in pairs.
struct alignas(16) TilePart {
  uint32_t weights[4];

  /// Tile `i` of the depth.
  template <typename Weights>
  UNROLL_DEVICE void load(int i, int depth, const TileColumns& columns, const Weights& of) {
    float values[4][2];  // all are under way before the first is rounded
    UNROLL_LOOP
    for (int r = 0; r < 4; ++r) {
      const int column = r % 2 == 0 ? columns.low : columns.high;
      const int k = i * kTile + lane_index() % 4 * 2 + r / 2 * 8;
      values[r][0] = k < depth ? of.at(k, column) : 0.0F;
      values[r][1] = k + 1 < depth ? of.at(k + 1, column) : 0.0F;
    }
    UNROLL_LOOP
    for (int r = 0; r < 4; ++r) {
      weights[r] = round_to_bf16(values[r][0], values[r][1]);
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
UNROLL_DEVICE void store_tile(const float (&sums)[4], int j, int columns, float* partials) {
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

  template <typename Weights>
  UNROLL_DEVICE void load(int depth, int columns, const Weights& weights) {
    columns_ = columns;
    UNROLL_LOOP
    for (int j = 0; j < kColumns; ++j) {
      const TileColumns mine(weights, j);
      UNROLL_LOOP
      for (int i = 0; i < kDepth; ++i) {
        parts_[i][j].load(warp_index() * kDepth + i, depth, mine, weights);
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
      store_tile(sums[j], j, columns_, partials);
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

  template <typename Weights>
  UNROLL_DEVICE void load(int depth, int columns, const Weights& weights) {
    depth_ = in_tiles(depth);
    columns_ = columns;
    const int across = in_tiles(columns);
    for (int j = 0; j < across; ++j) {
      const TileColumns mine(weights, j);
      for (int i = warp_index(); i < depth_; i += kWarps) {
        parts_[(i * across + j) * kLanes + lane_index()].load(i, depth, mine, weights);
      }
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
        store_tile(sums[j], j, columns_, partials);
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
