#pragma once

#include <cstdint>

#include "kernels/cell_table.h"

// Shapes that the kernels and the host that plans for them agree on.

namespace unroll::cuda {

constexpr int kLanes = 32;
constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kLanes;

/// Gates of a cell's product with W_h: columns a unit forward, depth a unit backward. A GRU with
/// the reset before the product has two products; this is the first gates', the second has one
/// gate.
UNROLL_HOST_DEVICE constexpr int product_gates(CellKind cell) {
  return cell == CellKind::kGruBefore ? 2 : gate_count(cell);
}

/// What the products with W_h multiply; sums are float32 in any case.
enum class Operands {
  kFloat32,
  kBf16  ///< rounded to bf16, by the tensor cores, which take 8 sequences at a time
};

/// A tensor core's tile: of the depth and of the columns, and the sequences.
constexpr int kTile = 16;
constexpr int kTileSequences = 8;

UNROLL_HOST_DEVICE constexpr int in_tiles(int n) { return (n + kTile - 1) / kTile; }

/// Values that blocks exchange in a word of 4 bytes: those of two rows in bf16, as a tensor core
/// takes them.
UNROLL_HOST_DEVICE constexpr int values_of_word(Operands operands) {
  return operands == Operands::kBf16 ? 2 : 1;
}

/// Rows that a gate of H units has there: whole words.
UNROLL_HOST_DEVICE constexpr int gate_rows(int hidden, Operands operands) {
  const int each = values_of_word(operands);
  return (hidden + each - 1) / each * each;
}

/// The most hidden units of the kernels in clusters, and which of them there are: the threads of a
/// cluster hold W_h in at most 64 of their 128 registers; in bf16 a warp holds a whole tile of the
/// depth.
constexpr int kClusterSizes[] = {128, 256, 512, 1024};

UNROLL_HOST_DEVICE constexpr bool has_cluster_kernel(CellKind cell, int most_hidden,
                                                     Operands operands) {
  const bool is_tiled = operands == Operands::kBf16;
  const int of_one_gate = is_tiled ? 1024 : 512;
  return most_hidden >= (is_tiled ? kWarps * kTile : 0) &&
         most_hidden <= (is_simple(cell) ? of_one_gate : of_one_gate / 2);
}

/// Units of a cluster's block, by the most units that its kernel has room for: of several gates
/// more blocks have to hold the weights.
UNROLL_HOST_DEVICE constexpr int cluster_units(CellKind cell, int most_hidden) {
  return most_hidden > 256 && is_simple(cell) ? 64 : 32;
}

/// Lanes that share a row of so many columns; the other lanes of the warp share the depth.
UNROLL_HOST_DEVICE constexpr int lanes_of(int columns) {
  return columns > 16 ? kLanes : columns > 8 ? 16 : 8;
}

/// Parts in which the depth of a product is summed up: in registers, and in shared memory.
UNROLL_HOST_DEVICE constexpr int shared_slices(int columns) {
  return kWarps * (kLanes / lanes_of(columns));
}

/// Logits that a block computes at a time, and the partial sums of them for one sequence.
constexpr int kLogits = kLanes;
constexpr int kLogitFloats = kWarps * kLogits;

/// Floats before the values of a cluster's exchange: two barriers of 8 bytes.
constexpr int kArrivalFloats = 4;

UNROLL_HOST_DEVICE constexpr int larger(int a, int b) { return a > b ? a : b; }

/// Rounded up to a multiple of four.
UNROLL_HOST_DEVICE constexpr int in_fours(int floats) { return (floats + 3) / 4 * 4; }

/// The layout of a block's shared memory, in floats from its beginning.
struct BlockLayout {
  int depth;     // of what is exchanged, in words, padded
  int second;    // in a grid: the second product's weights, after the first's
  int values;    // what is exchanged
  int partials;  // partial sums
  int end;
};

UNROLL_HOST_DEVICE constexpr BlockLayout cluster_layout(CellKind cell, bool is_backward,
                                                        int most_hidden, int S, Operands operands) {
  const int gates = product_gates(cell);
  const int depth = (is_backward ? gates : 1) * most_hidden / values_of_word(operands);
  const int columns = (is_backward ? 1 : gates) * cluster_units(cell, most_hidden);
  const int partials = kArrivalFloats + 2 * depth * S;
  return {depth, 0, 0, partials, partials + kWarps * S * columns};
}

/// Weights of a product in the tiles of SharedTileSlab, in floats.
UNROLL_HOST_DEVICE constexpr int tile_floats(int depth, int columns) {
  return in_tiles(depth) * in_tiles(columns) * kTile * kTile / 2;
}

UNROLL_HOST_DEVICE constexpr BlockLayout grid_layout(CellKind cell, bool is_backward, int hidden,
                                                     int units, int S, Operands operands) {
  const bool is_tiled = operands == Operands::kBf16;
  const bool has_second = cell == CellKind::kGruBefore;
  const int gates = product_gates(cell);
  const int rows = is_backward ? gates * gate_rows(hidden, operands) : hidden;
  const int columns = (is_backward ? 1 : gates) * units;
  const auto weights = [&](int k, int n) { return is_tiled ? tile_floats(k, n) : in_fours(k * n); };
  const auto sums = [&](int n) { return (is_tiled ? kWarps : shared_slices(n)) * n; };
  const int depth = is_tiled ? in_tiles(rows) * kTile / values_of_word(operands) : in_fours(rows);
  const int second = weights(rows, columns);
  const int values = second + (has_second ? weights(hidden, units) : 0);
  const int partials = values + depth * S;
  const int room = larger(larger(sums(columns), has_second ? sums(units) : 0), kLogitFloats);
  return {depth, second, values, partials, partials + room * S};
}

/// Values of a tensor that a block takes at a time.
constexpr int kPiece = 8 * kThreads;

UNROLL_HOST_DEVICE constexpr int64_t pieces_of(int64_t values) {
  return (values + kPiece - 1) / kPiece;
}

/// Blocks of a multiprocessor that copy matrices at once: they wait for memory most of the time.
constexpr int kCopiersEach = 3;

/// Side of the squares in which matrices are copied, and the length of a row of one in shared
/// memory: neither rows nor columns have bank conflicts.
constexpr int kSquare = kLanes;
constexpr int kSquareRow = kSquare + 1;
constexpr int kSquareFloats = kSquare * kSquareRow;

UNROLL_HOST_DEVICE constexpr int64_t squares_of(int64_t rows, int64_t columns) {
  return (rows + kSquare - 1) / kSquare * ((columns + kSquare - 1) / kSquare);
}

/// Tokens up to which the kernels for few of them serve: the output layer and the sums by token.
constexpr int kMostTokens = 128;

/// Tables of sums by token, one a warp: 16 for up to 64 tokens, 8 for more.
UNROLL_HOST_DEVICE constexpr int token_tables(int vocab_size) {
  return vocab_size > kMostTokens / 2 ? kWarps / 2 : kWarps;
}
UNROLL_HOST_DEVICE constexpr int token_sums_floats(int vocab_size) {
  return (token_tables(vocab_size) * vocab_size + kWarps) * kLanes;
}

/// Rows that a block of the output layer computes at a time, and blocks of a multiprocessor, if its
/// shared memory has room for so many.
constexpr int kOutputRows = 8;
constexpr int kOutputBlocksEach = 2;

/// The layout of its shared memory, in floats from its beginning, where the weights are.
struct OutputLayout {
  int weights_row;  // floats from one unit to the next: odd, for no bank conflicts
  int values;       // [unit][row]: the states
  int partials;     // partial sums of the logits
  int logits;       // [token][row], then their gradients
  int room;         // kThreads floats
  int end;
};

UNROLL_HOST_DEVICE constexpr OutputLayout output_layout(int hidden, int vocab_size) {
  const int weights_row = vocab_size | 1;
  const int values = in_fours(hidden * weights_row);
  const int partials = values + hidden * kOutputRows;
  const int logits = partials + kThreads * kOutputRows;
  const int room = logits + vocab_size * kOutputRows;
  return {weights_row, values, partials, logits, room, room + kThreads};
}

/// Its blocks of a multiprocessor whose blocks can have so much shared memory; each takes a
/// kilobyte more.
UNROLL_HOST_DEVICE constexpr int output_blocks_each(const OutputLayout& layout, int shared_bytes) {
  const int bytes = layout.end * static_cast<int>(sizeof(float));
  return kOutputBlocksEach * bytes + 1024 <= shared_bytes ? kOutputBlocksEach : 1;
}

}  // namespace unroll::cuda
