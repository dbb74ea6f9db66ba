#include "kernels/cpu/matrices/weight_gradients.h"

#include <algorithm>
#include <utility>

#include "kernels/cpu/machine/l2_cache.h"
#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/matrices/pack.h"
#include "kernels/cpu/matrices/panel_product.h"
#include "kernels/cpu/matrices/product.h"
#include "kernels/cpu/matrices/tile_product.h"

namespace unroll::cpu {
namespace {

// The block of 16 columns of dz's panels: u * count + gate, in the order of Gates.
struct GradientBlock {
  const StridedMatrix* to;  // null to drop it
  int64_t unit;             // the first
  int64_t units;
};

GradientBlock gradient_block(const GradientTerm& term, int64_t block) {
  const int64_t unit = block / term.gates.count * kBlock;
  return {.to = term.gradients[block % term.gates.count],
          .unit = unit,
          .units = std::min(kBlock, term.gates.hidden - unit)};
}

// Rows [begin, end) of the gradients, the columns of dz's panel p: C (end - begin, kPanel).
void write_gradients(const float* C, int64_t begin, int64_t end, int64_t p,
                     const GradientTerm& term) {
  const Panels& dz = term.dz->values();
  for (int64_t column = 0; column < dz.panel_columns(p); column += kBlock) {
    const auto [to, unit, units] = gradient_block(term, (p * dz.width() + column) / kBlock);
    if (to == nullptr) {
      continue;
    }
    unpack_block(C + column, kPanel, end - begin, units, begin, unit, *to);
  }
}

// How a sum over all rows is cut: so many columns of A by so many panels of dz, so many rows at
// once.
struct GradientCut {
  int64_t columns;
  int64_t panels;
  int64_t depth;
};

// The largest squares that stay in the second-level cache with what one side has of their rows,
// while the other passes by: each side is read once for all columns of the other. With 2048 units
// and 35 steps of 512 sequences, 256 columns are 1.35 times as fast as 64, and all of a training
// 1.16 times (unroll bench --cell rnn --hidden 2048 --batch-size 512 --threads 1). Room for both
// sides, which halves the depth on a core with 512 KiB, is 0.98 times as fast there
// (unroll_kernels_benchmark --benchmark_filter=MultiplyTransposed). Smaller ones if threads would
// wait for each other, and where no others stay.
GradientCut cut_gradients(const Panels& A, const Panels& dz) {
  const int64_t threads = thread_count();
  for (const auto& [side, depth] :
       {std::pair<int64_t, int64_t>{256, 384}, {128, 384}, {128, 192}}) {
    const GradientCut cut{.columns = equal_part(A.columns(), side, A.width()),
                          .panels = equal_part(dz.panels(), side / dz.width(), 1),
                          .depth = equal_part(dz.rows(), depth, kBlock)};
    const int64_t squares = parts_of(A.columns(), cut.columns) * parts_of(dz.panels(), cut.panels);
    const bool stays = stay_in_l2_cache(side * (depth + side) * int64_t{sizeof(float)});
    const bool is_balanced = parts_of(squares, threads) * threads * 10 <= squares * 11;
    if (stays && is_balanced) {
      return cut;
    }
  }
  return {.columns = equal_part(A.columns(), kPanel, A.width()), .panels = 1, .depth = dz.rows()};
}

void gradients_of_values(const Panels& A, const GradientTerm& term) {
  const Panels& dz = term.dz->values();
  const int64_t first_row = term.first_step * term.dz->batch_size();
  const GradientCut cut = cut_gradients(A, dz);
  const int64_t size = cut.columns * kPanel;  // of the sums of one panel
  const int64_t groups = parts_of(A.columns(), cut.columns);
  const int64_t squares = groups * parts_of(dz.panels(), cut.panels);
  const auto work = [&](int64_t first, int64_t last) {
    thread_local AlignedArray<float> sums;
    sums.reserve(cut.panels * size);
    for (int64_t n = first; n < last; ++n) {
      const int64_t begin = n % groups * cut.columns;
      const int64_t end = std::min(begin + cut.columns, A.columns());
      const int64_t p_begin = n / groups * cut.panels;
      const int64_t p_end = std::min(p_begin + cut.panels, dz.panels());
      const int64_t next_p = (n + 1) / groups * cut.panels;
      const float* const next = n + 1 < last ? dz.at(0, next_p * dz.width()) : nullptr;
      for_right_sides(dz, p_begin, p_end, cut.depth, next, [&](const RightSide& right) {
        multiply_transposed(
            A, first_row, begin, end, right,
            {.C = sums.data() + (right.p - p_begin) * size, .accumulate = right.k > 0});
      });
      for (int64_t p = p_begin; p < p_end; ++p) {
        write_gradients(sums.data() + (p - p_begin) * size, begin, end, p, term);
      }
    }
  };
  parallel_for(0, squares, grain(cut.columns * cut.panels * dz.width() * dz.rows()), work);
}

// The rows of one gradient that 32 columns of A make, 16 columns of them: written by the product
// itself where that can be, by way of a copy elsewhere.
class GradientTile {
 public:
  GradientTile() = default;
  GradientTile(const GradientBlock& block, int64_t row, int64_t rows)
      : block_(block),
        row_(row),
        rows_(rows),
        direct_(block.to != nullptr && rows == kTileDepth && block.units == kBlock &&
                block.to->column_stride == 1) {}

  TileResult result() {
    return direct_ ? TileResult{&(*block_.to)(row_, block_.unit), block_.to->row_stride}
                   : TileResult{copy_, kBlock};
  }
  void end() const {
    if (direct_ || block_.to == nullptr) {
      return;
    }
    unpack_block(copy_, kBlock, rows_, block_.units, row_, block_.unit, *block_.to);
  }

 private:
  GradientBlock block_{};
  int64_t row_ = 0;
  int64_t rows_ = 0;
  bool direct_ = false;
  alignas(64) float copy_[kTileDepth * kBlock];
};

// A's columns transposed, 32 of them a chunk, as tiles for the left side.
class TransposedChunks {
 public:
  explicit TransposedChunks(const Activations& A)
      : matrix_(A), depth_(A.steps() * A.depth_of_step()), parts_(A.left().parts()) {}

  int64_t chunk_size() const { return parts_ * part_stride(); }
  int64_t part_stride() const { return depth_ * 2 * kTileSize; }
  int64_t chunks() const { return matrix_.left().depth(); }

  // Chunk c at `to`.
  void write(int64_t c, Bf16* to) const {
    const auto& left = matrix_.left();
    for (int part = 0; part < parts_; ++part) {
      for (int64_t k = 0; k < depth_; ++k) {
        transpose_tiles(left.at(2 * k, c) + part * left.part_stride(), left.row_stride(), to);
        to += 2 * kTileSize;
      }
    }
  }

 private:
  const Activations& matrix_;
  int64_t depth_;
  int parts_;
};

// The gradients that a group of chunks makes, as one thread computes them.
class GradientsOfTiles {
 public:
  GradientsOfTiles(const Activations& A, int64_t chunk_count)
      : transposed_(A),
        columns_(A.columns()),
        depth_of_step_(A.depth_of_step()),
        parts_(A.left().parts()),
        group_(std::clamp<int64_t>(
            kCached / (transposed_.chunk_size() * static_cast<int64_t>(sizeof(Bf16))), 1,
            chunk_count)),
        by_depth_(parts_ == 1 && group_ >= kOftenEnough) {
    chunks().reserve(group_ * transposed_.chunk_size());
    sums().reserve(group_ * kSumsOfChunk);
  }

  // Chunks of a group.
  int64_t group() const { return group_; }

  // Takes the chunks [begin, end), a group at most.
  void begin(int64_t begin, int64_t end) {
    begin_ = begin;
    end_ = end;
    for (int64_t c = begin; c < end; ++c) {
      transposed_.write(c, chunk(c));
    }
  }

  // Their products with `count` blocks of dz, one or two of the same panel, from `block` on.
  void multiply(const GradientTerm& term, int64_t block, int count) {
    const int64_t depth = term.dz->right().depth();
    const int64_t at_once = by_depth_ ? kDepthAtOnce : depth;
    for (int64_t k = 0; k < depth; k += at_once) {
      for (int64_t c = begin_; c < end_; ++c) {
        const TileTerm product = product_of(term, block, c, k, std::min(at_once, depth - k));
        float* const so_far = sums().data() + (c - begin_) * kSumsOfChunk;
        const TileResult kept[2] = {{so_far, kBlock}, {so_far + kSumsOfChunk / 2, kBlock}};
        const TileResult* const start = k == 0 ? nullptr : kept;
        if (k + at_once < depth) {
          multiply_tiles({&product, 1}, parts_, count, start, kept);
        } else {
          finish(term, block, count, c, product, start);
        }
      }
    }
  }

 private:
  // Chunks that stay in the second-level cache while gradients pass by them
  static constexpr int64_t kCached = int64_t{600} << 10;
  // Depth, in tiles, that a product over all steps goes at once where right sides of one part are
  // used again at once: so that they stay in the first-level cache, 36 KiB of them, while left
  // sides pass by (unroll_kernels_benchmark --benchmark_filter=GradientTiles: 1.1 times as fast).
  static constexpr int64_t kDepthAtOnce = 18;
  // Fewer chunks than this do not use a right side often enough.
  static constexpr int64_t kOftenEnough = 4;
  // Of a chunk with two blocks, until all depth is done.
  static constexpr int64_t kSumsOfChunk = 2 * kTileDepth * kBlock;

  // A thread's own memory, kept from call to call.
  static AlignedArray<Bf16>& chunks() {
    thread_local AlignedArray<Bf16> result;
    return result;
  }
  static AlignedArray<float>& sums() {
    thread_local AlignedArray<float> result;
    return result;
  }
  Bf16* chunk(int64_t c) const { return chunks().data() + (c - begin_) * transposed_.chunk_size(); }

  TileTerm product_of(const GradientTerm& term, int64_t block, int64_t c, int64_t k,
                      int64_t depth) const {
    const auto& dz = term.dz->right();
    const int64_t first_tile = term.first_step * depth_of_step_ + k;
    return {.a = chunk(c) + first_tile * 2 * kTileSize,
            .a_row_stride = kTileSize,
            .a_depth_stride = 2 * kTileSize,
            .a_part_stride = transposed_.part_stride(),
            .b = dz.at(k, block * kBlock),
            .b_depth_stride = dz.depth_stride(),
            .b_pair_stride = dz.pair_stride(),
            .b_part_stride = dz.part_stride(),
            .depth = depth};
  }

  // The last of the depth: the sums go to the gradients.
  void finish(const GradientTerm& term, int64_t block, int count, int64_t c,
              const TileTerm& product, const TileResult* start) const {
    const int64_t row = c * kTileDepth;
    const int64_t rows = std::min(kTileDepth, columns_ - row);
    GradientTile tiles[2] = {
        GradientTile(gradient_block(term, block), row, rows),
        count == 2 ? GradientTile(gradient_block(term, block + 1), row, rows) : GradientTile()};
    const TileResult results[2] = {tiles[0].result(), tiles[1].result()};
    multiply_tiles({&product, 1}, parts_, count, start, results);
    for (int j = 0; j < count; ++j) {
      tiles[j].end();
    }
  }

  TransposedChunks transposed_;
  int64_t columns_;
  int64_t depth_of_step_;
  int parts_;
  int64_t group_;
  bool by_depth_;
  int64_t begin_ = 0;
  int64_t end_ = 0;
};

void gradients_of_tiles(const Activations& A, std::span<const GradientTerm> terms,
                        int64_t chunk_begin, int64_t chunk_end) {
  GradientsOfTiles gradients(A, chunk_end - chunk_begin);
  const TileScope scope(A.left().parts());
  for (int64_t begin = chunk_begin; begin < chunk_end; begin += gradients.group()) {
    gradients.begin(begin, std::min(begin + gradients.group(), chunk_end));
    for (const auto& term : terms) {
      const auto& dz = term.dz->right();
      const int64_t blocks = parts_of(dz.columns(), kBlock);
      const int64_t width = dz.width() / kBlock;
      for (int64_t block = 0; block < blocks;) {
        // Two blocks of the same panel, where there are two
        const auto count =
            static_cast<int>(std::min({int64_t{2}, blocks - block, width - block % width}));
        gradients.multiply(term, block, count);
        block += count;
      }
    }
  }
}

}  // namespace

void weight_gradients(const Activations& A, std::span<const GradientTerm> terms) {
  if (A.left().empty()) {
    for (const auto& term : terms) {
      gradients_of_values(A.values(), term);
    }
    return;
  }
  const int64_t chunks = A.left().depth();
  int64_t cost = 0;
  for (const auto& term : terms) {
    cost += kTileDepth * A.steps() * A.batch_size() * term.dz->right().columns();
  }
  parallel_for(0, chunks, grain(cost),
               [&](int64_t first, int64_t last) { gradients_of_tiles(A, terms, first, last); });
}

}  // namespace unroll::cpu
