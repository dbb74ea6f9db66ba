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
  const int64_t tiles = A.panels() * dz.panels();
  parallel_for(0, tiles, grain(kPanel * kPanel * dz.rows()), [&](int64_t first, int64_t last) {
    alignas(64) float C[kPanel * kPanel];
    for (int64_t n = first; n < last; ++n) {
      const int64_t a = n % A.panels();
      const int64_t p = n / A.panels();
      multiply_transposed(A, first_row, a, dz, p, C, kPanel);
      const int64_t rows = std::min(kPanel, A.columns() - a * kPanel);
      for (int64_t column = 0; column < dz.panel_columns(p); column += kBlock) {
        const int64_t block = (p * dz.width() + column) / kBlock;  // u * count + gate
        const StridedMatrix* to = term.gradients[block % term.gates.count];
        if (to == nullptr) {
          continue;
        }
        const int64_t unit = block / term.gates.count * kBlock;
        const int64_t units = std::min(kBlock, term.gates.hidden - unit);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < units; ++j) {
            (*to)(a * kPanel + i, unit + j) = C[i * kPanel + column + j];
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

void gradients_of_tiles(const Activations& A, std::span<const GradientTerm> terms,
                        int64_t chunk_begin, int64_t chunk_end) {
  // Chunks that stay in the second-level cache while gradients pass by them
  constexpr int64_t kCached = int64_t{600} << 10;
  const TransposedChunks transposed(A);
  const int parts = A.left().parts();
  const int64_t chunk_size = transposed.chunk_size();
  const int64_t group = std::clamp<int64_t>(
      kCached / (chunk_size * static_cast<int64_t>(sizeof(Bf16))), 1, chunk_end - chunk_begin);
  thread_local AlignedArray<Bf16> chunks;
  chunks.reserve(group * chunk_size);

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
      for (int64_t block = 0; block < blocks;) {
        // Two blocks of the same panel, where there are two
        const auto columns =
            static_cast<int>(std::min({int64_t{2}, blocks - block, width - block % width}));
        const auto gradient = [&](int64_t of) { return term.gradients[of % term.gates.count]; };
        GradientTile tiles[2];
        for (int64_t c = begin; c < end; ++c) {
          TileResult results[2];
          for (int j = 0; j < columns; ++j) {
            const int64_t unit = (block + j) / term.gates.count * kBlock;
            tiles[j].begin(gradient(block + j), c * kTileDepth,
                           std::min(kTwoTiles, A.columns() - c * kTileDepth), unit,
                           std::min(kBlock, term.gates.hidden - unit));
            results[j] = tiles[j].result();
          }
          const TileTerm product{.a = chunks.data() + (c - begin) * chunk_size + first_tile,
                                 .a_row_stride = kTileSize,
                                 .a_depth_stride = 2 * kTileSize,
                                 .a_part_stride = transposed.part_stride(),
                                 .b = dz.at(0, block * kBlock),
                                 .b_depth_stride = dz.depth_stride(),
                                 .b_pair_stride = dz.pair_stride(),
                                 .b_part_stride = dz.part_stride(),
                                 .depth = dz.depth()};
          multiply_tiles({&product, 1}, parts, 2, columns, results, /*accumulate=*/false);
          for (int j = 0; j < columns; ++j) {
            tiles[j].end();
          }
        }
        block += columns;
      }
    }
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
  TileProgress work{.terms = {},
                    .term_count = static_cast<int>(terms.size()),
                    .parts = B.parts(),
                    .rows = rows <= kTileRows ? 1 : 2,
                    .columns = static_cast<int>(B.panel_columns(p) / kBlock),
                    .result = {C, c_stride},
                    .accumulate = accumulate};
  for (std::size_t n = 0; n < terms.size(); ++n) {
    work.terms[n] = tile_term(terms[n], b, p);
  }
  return TileWork(work);
}

void multiply_steps(const Activations& A, int64_t first_step, const Weights& B, bool accumulate,
                    Panels& C) {
  const int parts = B.parts();
  const int64_t rows = C.rows();
  const int64_t batch_size = A.batch_size();
  const int64_t at_once = parts == 0 ? 1 : kTwoTiles;
  const int64_t parts_of_step = parts == 0 ? batch_size : (batch_size + at_once - 1) / at_once;
  const auto multiply_rows = [&](int64_t first, int64_t last, int64_t p_begin, int64_t p_end) {
    if (parts == 0) {
      for (int64_t p = p_begin; p < p_end; ++p) {
        multiply(A.values(), first_step * batch_size + first, last - first, B.values(), p,
                 C.at(first, p * C.width()), C.width(), accumulate);
      }
      return;
    }
    const TileScope scope(parts);
    alignas(64) float tile[kTwoTiles * kPanel];
    for (int64_t n = first; n < last; ++n) {
      const int64_t t = n / parts_of_step;
      const int64_t b = n % parts_of_step * at_once;
      const StepTerm term{&A, first_step + t, &B};
      for (int64_t p = p_begin; p < p_end; ++p) {
        multiply_step({&term, 1}, b, std::min(at_once, batch_size - b), p, tile, kPanel, false);
        const int64_t columns = B.panel_columns(p);
        for (int64_t i = 0; i < std::min(at_once, batch_size - b); ++i) {
          const float* from = tile + i * kPanel;
          float* to = C.at(t * batch_size + b + i, p * C.width());
          for (int64_t j = 0; j < columns; ++j) {
            to[j] = accumulate ? to[j] + from[j] : from[j];
          }
        }
      }
    }
  };
  const int64_t units = rows / batch_size * parts_of_step;
  if (units >= B.panels()) {
    parallel_for(0, units, grain(at_once * B.rows() * B.columns()),
                 [&](int64_t first, int64_t last) { multiply_rows(first, last, 0, B.panels()); });
  } else {
    parallel_for(0, B.panels(), grain(rows * B.rows() * B.width()),
                 [&](int64_t first, int64_t last) { multiply_rows(0, units, first, last); });
  }
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
