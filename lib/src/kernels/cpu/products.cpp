#include "kernels/cpu/products.h"

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/tile_product.h"

namespace unroll::cpu {
namespace {

// Sequences, two tiles of rows, whose products share the tiles of weights.
constexpr int64_t kTwoTiles = 2 * kTileRows;

TileTerm tile_term(const StepTerm& term, int64_t b, int64_t p) {
  const auto& left = term.A->left();
  const auto& right = term.B->tiles();
  return {.a = left.at(term.A->row_tile(term.t, b), 0),
          .a_row_stride = left.row_stride(),
          .a_depth_stride = kTileSize,
          .a_part_stride = left.part_stride(),
          .b = right.at(0, p * right.width()),
          .b_depth_stride = right.depth_stride(),
          .b_pair_stride = right.pair_stride(),
          .b_part_stride = right.part_stride(),
          .depth = right.depth()};
}

void gradients_of_values(const Panels& A, const GradientTerm& term) {
  const Panels& dz = term.dz->values();
  const int64_t first_row = term.first_step * term.dz->batch_size();
  // Of the transposed matrix so many rows at once, which share what they read of dz.
  const int64_t at_once = kPanel / A.width() * A.width();
  const int64_t groups = (A.columns() + at_once - 1) / at_once;
  parallel_for(0, groups * dz.panels(), grain(at_once * dz.width() * dz.rows()),
               [&](int64_t first, int64_t last) {
                 alignas(64) float C[kPanel * kPanel];
                 for (int64_t n = first; n < last; ++n) {
                   const int64_t begin = n % groups * at_once;
                   const int64_t end = std::min(begin + at_once, A.columns());
                   const int64_t p = n / groups;
                   multiply_transposed(A, first_row, begin, end, dz, p, C, kPanel);
                   for (int64_t column = 0; column < dz.panel_columns(p); column += kBlock) {
                     const int64_t block = (p * dz.width() + column) / kBlock;  // u * count + gate
                     const StridedMatrix* to = term.gradients[block % term.gates.count];
                     if (to == nullptr) {
                       continue;
                     }
                     const int64_t unit = block / term.gates.count * kBlock;
                     const int64_t units = std::min(kBlock, term.gates.hidden - unit);
                     for (int64_t i = begin; i < end; ++i) {
                       for (int64_t j = 0; j < units; ++j) {
                         (*to)(i, unit + j) = C[(i - begin) * kPanel + column + j];
                       }
                     }
                   }
                 }
               });
}

// The rows of one gradient that 32 columns of A make, 16 columns of them: written by the product
// itself where that can be, by way of a copy elsewhere.
class GradientTile {
 public:
  void begin(const StridedMatrix* to, int64_t row, int64_t rows, int64_t unit, int64_t units) {
    to_ = to;
    row_ = row;
    rows_ = rows;
    unit_ = unit;
    units_ = units;
    direct_ = to != nullptr && rows == kTwoTiles && units == kBlock && to->column_stride == 1;
  }
  TileResult result() {
    return direct_ ? TileResult{&(*to_)(row_, unit_), to_->row_stride} : TileResult{copy_, kBlock};
  }
  void end() const {
    if (direct_ || to_ == nullptr) {
      return;
    }
    for (int64_t j = 0; j < units_; ++j) {
      for (int64_t i = 0; i < rows_; ++i) {
        (*to_)(row_ + i, unit_ + j) = copy_[i * kBlock + j];
      }
    }
  }

 private:
  const StridedMatrix* to_ = nullptr;
  int64_t row_ = 0;
  int64_t rows_ = 0;
  int64_t unit_ = 0;
  int64_t units_ = 0;
  bool direct_ = false;
  alignas(64) float copy_[kTwoTiles * kBlock];
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

// Depth, in tiles, that a product over all steps goes at once where right sides of one part are
// used again at once: so that they stay in the first-level cache, 36 KiB of them, while left sides
// pass by (unroll_kernels_benchmark --benchmark_filter=GradientTiles: 1.1 times as fast).
constexpr int64_t kDepthAtOnce = 18;

void gradients_of_tiles(const Activations& A, std::span<const GradientTerm> terms,
                        int64_t chunk_begin, int64_t chunk_end) {
  // Chunks that stay in the second-level cache while gradients pass by them
  constexpr int64_t kCached = int64_t{600} << 10;
  // Fewer of them than this do not use a right side often enough.
  constexpr int64_t kOftenEnough = 4;
  const TransposedChunks transposed(A);
  const int parts = A.left().parts();
  const int64_t chunk_size = transposed.chunk_size();
  const int64_t group = std::clamp<int64_t>(
      kCached / (chunk_size * static_cast<int64_t>(sizeof(Bf16))), 1, chunk_end - chunk_begin);
  const bool by_depth = parts == 1 && group >= kOftenEnough;
  thread_local AlignedArray<Bf16> chunks;
  thread_local AlignedArray<float> sums;  // of a chunk with two blocks, until all depth is done
  chunks.reserve(group * chunk_size);
  sums.reserve(group * 2 * kTwoTiles * kBlock);

  const TileScope scope(parts);
  for (int64_t begin = chunk_begin; begin < chunk_end; begin += group) {
    const int64_t end = std::min(begin + group, chunk_end);
    for (int64_t c = begin; c < end; ++c) {
      transposed.write(c, chunks.data() + (c - begin) * chunk_size);
    }
    for (const auto& term : terms) {
      const auto& dz = term.dz->right();
      const int64_t first_tile = term.first_step * A.depth_of_step() * 2 * kTileSize;
      const int64_t blocks = dz.columns() / kBlock + (dz.columns() % kBlock != 0 ? 1 : 0);
      const int64_t width = dz.width() / kBlock;
      const int64_t depth_at_once = by_depth ? kDepthAtOnce : dz.depth();
      for (int64_t block = 0; block < blocks;) {
        // Two blocks of the same panel, where there are two
        const auto columns =
            static_cast<int>(std::min({int64_t{2}, blocks - block, width - block % width}));
        for (int64_t k = 0; k < dz.depth(); k += depth_at_once) {
          const bool last = k + depth_at_once >= dz.depth();
          for (int64_t c = begin; c < end; ++c) {
            const TileTerm product{
                .a = chunks.data() + (c - begin) * chunk_size + first_tile + k * 2 * kTileSize,
                .a_row_stride = kTileSize,
                .a_depth_stride = 2 * kTileSize,
                .a_part_stride = transposed.part_stride(),
                .b = dz.at(k, block * kBlock),
                .b_depth_stride = dz.depth_stride(),
                .b_pair_stride = dz.pair_stride(),
                .b_part_stride = dz.part_stride(),
                .depth = std::min(depth_at_once, dz.depth() - k)};
            float* const so_far = sums.data() + (c - begin) * 2 * kTwoTiles * kBlock;
            const TileResult kept[2] = {{so_far, kBlock}, {so_far + kTwoTiles * kBlock, kBlock}};
            const TileResult* const start = k == 0 ? nullptr : kept;
            if (!last) {
              multiply_tiles({&product, 1}, parts, columns, start, kept);
              continue;
            }
            GradientTile tiles[2];
            TileResult results[2];
            for (int j = 0; j < columns; ++j) {
              const int64_t gate = (block + j) % term.gates.count;
              const int64_t unit = (block + j) / term.gates.count * kBlock;
              tiles[j].begin(term.gradients[gate], c * kTileDepth,
                             std::min(kTwoTiles, A.columns() - c * kTileDepth), unit,
                             std::min(kBlock, term.gates.hidden - unit));
              results[j] = tiles[j].result();
            }
            multiply_tiles({&product, 1}, parts, columns, start, results);
            for (int j = 0; j < columns; ++j) {
              tiles[j].end();
            }
          }
        }
        block += columns;
      }
    }
  }
}

void copy_rows(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
               int64_t to_stride) {
  for (int64_t i = 0; i < rows; ++i) {
    std::copy_n(from + i * from_stride, columns, to + i * to_stride);
  }
}

// Some steps of A times the panels [p_begin, p_end) of B, by one thread: the batch's rows
// [first, last) of all steps, or in tiles the pairs of tiles of rows.
void multiply_some_steps(const Activations& A, int64_t first_step, const Weights& B,
                         bool accumulate, Panels& C, int64_t first, int64_t last, int64_t p_begin,
                         int64_t p_end) {
  const int64_t batch_size = A.batch_size();
  const auto at = [&](int64_t row, int64_t p) { return C.at(row, p * C.width()); };
  if (B.parts() == 0) {
    for (int64_t p = p_begin; p < p_end; ++p) {
      multiply(A.values(), first_step * batch_size + first, last - first, B.values(), p,
               at(first, p), C.width(), accumulate);
    }
    return;
  }
  const TileScope scope(B.parts());
  const int64_t pairs_of_step = (batch_size + kTwoTiles - 1) / kTwoTiles;
  alignas(64) float tile[kTwoTiles * kPanel];
  for (int64_t n = first; n < last; ++n) {
    const int64_t t = n / pairs_of_step;
    const int64_t b = n % pairs_of_step * kTwoTiles;
    const int64_t rows = std::min(kTwoTiles, batch_size - b);
    const StepTerm term{&A, first_step + t, &B};
    for (int64_t p = p_begin; p < p_end; ++p) {
      float* const to = at(t * batch_size + b, p);
      if (rows % kTileRows == 0) {
        multiply_step({&term, 1}, b, rows, p, to, C.width(), accumulate);
        continue;
      }
      // The unit writes whole tiles, for whose last rows C has no room.
      const int64_t columns = B.panel_columns(p);
      if (accumulate) {
        copy_rows(to, C.width(), rows, columns, tile, kPanel);
      }
      multiply_step({&term, 1}, b, rows, p, tile, kPanel, accumulate);
      copy_rows(tile, kPanel, rows, columns, to, C.width());
    }
  }
}

// C = A's steps times B, on all threads, or C += when `accumulate`; or added to `start` in every
// row, if that is given.
void multiply_steps(const Activations& A, int64_t first_step, const Weights& B, bool accumulate,
                    const Panels* start, Panels& C) {
  const int64_t at_once = B.parts() == 0 ? 1 : kTwoTiles;
  const int64_t units_of_step = (A.batch_size() + at_once - 1) / at_once;
  const int64_t steps = C.rows() / A.batch_size();
  const auto work = [&](int64_t first, int64_t last, int64_t p_begin, int64_t p_end) {
    const auto row_of = [&](int64_t unit) {
      return unit / units_of_step * A.batch_size() + unit % units_of_step * at_once;
    };
    for (int64_t p = p_begin; start != nullptr && p < p_end; ++p) {
      for (int64_t r = row_of(first); r < row_of(last); ++r) {
        std::copy_n(start->at(0, p * C.width()), C.panel_columns(p), C.at(r, p * C.width()));
      }
    }
    multiply_some_steps(A, first_step, B, accumulate || start != nullptr, C, first, last, p_begin,
                        p_end);
  };
  const int64_t units = steps * units_of_step;
  if (units >= B.panels()) {
    parallel_for(0, units, grain(at_once * B.rows() * B.columns()),
                 [&](int64_t first, int64_t last) { work(first, last, 0, B.panels()); });
  } else {
    parallel_for(0, B.panels(), grain(C.rows() * B.rows() * B.width()),
                 [&](int64_t first, int64_t last) { work(0, units, first, last); });
  }
}

}  // namespace

void multiply_step(std::span<const StepTerm> terms, int64_t b, int64_t rows, int64_t p, float* C,
                   int64_t c_stride, bool accumulate) {
  if (terms.front().B->parts() > 0) {
    for (int64_t i = 0; i < rows; i += kTwoTiles) {
      tile_work_of_step(terms, b + i, rows - i, p, C + i * c_stride, c_stride, accumulate).finish();
    }
    return;
  }
  for (const auto& [A, t, B] : terms) {
    multiply(A->values(), t * A->batch_size() + b, rows, B->values(), p, C, c_stride, accumulate);
    accumulate = true;
  }
}

TileWork tile_work_of_step(std::span<const StepTerm> terms, int64_t b, int64_t rows, int64_t p,
                           float* C, int64_t c_stride, bool accumulate) {
  const Weights& B = *terms.front().B;
  TileTerm tiles[2];
  for (std::size_t n = 0; n < terms.size(); ++n) {
    tiles[n] = tile_term(terms[n], b, p);
  }
  return TileWork({.terms = {tiles, terms.size()},
                   .parts = B.parts(),
                   .rows = rows <= kTileRows ? 1 : 2,
                   .columns = static_cast<int>(B.panel_columns(p) / kBlock),
                   .result = {C, c_stride},
                   .accumulate = accumulate});
}

void multiply_steps(const Activations& A, int64_t first_step, const Weights& B, bool accumulate,
                    Panels& C) {
  multiply_steps(A, first_step, B, accumulate, nullptr, C);
}

void affine_steps(const Activations& A, int64_t first_step, const Weights& B, const Panels& b,
                  Panels& C) {
  multiply_steps(A, first_step, B, /*accumulate=*/false, &b, C);
}

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
