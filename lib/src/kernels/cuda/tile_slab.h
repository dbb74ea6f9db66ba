#pragma once

#include "kernels/cuda/shapes.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/slab.h"

namespace unroll::cuda {

// Slabs on tensor cores, for 8 sequences: weights and values are rounded to bf16. A tile of
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
