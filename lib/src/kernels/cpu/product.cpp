#include "kernels/cpu/product.h"

#include "kernels/cpu/caches.h"
#include "kernels/cpu/panel_product.h"
#include "kernels/cpu/parallel.h"
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

void copy_rows(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
               int64_t to_stride) {
  for (int64_t i = 0; i < rows; ++i) {
    std::copy_n(from + i * from_stride, columns, to + i * to_stride);
  }
}

// The rows [first, last) of C by the panels [p_begin, p_end) of B, by one thread. So many rows and
// so much depth of A at once that they stay in the core's own cache while the panels pass by.
void multiply_rows(const Panels& A, int64_t first_row, const Panels& B, const Panels* start,
                   bool accumulate, Panels& C, int64_t first, int64_t last, int64_t p_begin,
                   int64_t p_end) {
  constexpr int64_t kDepthAtOnce = 1024;
  const int64_t K = B.rows();
  const int64_t depth_at_once = kDepthAtOnce / A.width() * A.width();
  const int64_t bytes_of_row = std::min(K, depth_at_once) * int64_t{sizeof(float)};
  const int64_t rows_at_once = std::max(kPanel, own_cache_bytes() / 2 / bytes_of_row);
  const bool stays = stays_cached(B.bytes());
  for (int64_t r = first; r < last; r += rows_at_once) {
    const int64_t rows = std::min(rows_at_once, last - r);
    for (int64_t k = 0; k < K; k += depth_at_once) {
      const int64_t depth = std::min(depth_at_once, K - k);
      const int64_t next_k = k + depth < K ? k + depth : 0;
      for (int64_t p = p_begin; p < p_end; ++p) {
        float* const to = C.at(r, p * C.width());
        if (k == 0 && start != nullptr) {
          for (int64_t i = 0; i < rows; ++i) {
            std::copy_n(start->at(0, p * C.width()), C.panel_columns(p), to + i * C.width());
          }
        }
        multiply(A, first_row + r, rows, B, p, k, depth,
                 {.C = to,
                  .stride = C.width(),
                  .accumulate = accumulate || start != nullptr || k > 0,
                  .next = stays           ? nullptr
                          : p + 1 < p_end ? B.at(k, (p + 1) * B.width())
                                          : B.at(next_k, p_begin * B.width())});
      }
    }
  }
}

// The same in tiles: the pairs of tiles of rows [first, last) of all steps.
void multiply_pairs(const Activations& A, int64_t first_step, const Weights& B, bool accumulate,
                    Panels& C, int64_t first, int64_t last, int64_t p_begin, int64_t p_end) {
  const int64_t batch_size = A.batch_size();
  const TileScope scope(B.parts());
  const int64_t pairs_of_step = (batch_size + kTwoTiles - 1) / kTwoTiles;
  alignas(64) float tile[kTwoTiles * kPanel];
  for (int64_t n = first; n < last; ++n) {
    const int64_t t = n / pairs_of_step;
    const int64_t b = n % pairs_of_step * kTwoTiles;
    const int64_t rows = std::min(kTwoTiles, batch_size - b);
    const StepTerm term{&A, first_step + t, &B};
    for (int64_t p = p_begin; p < p_end; ++p) {
      float* const to = C.at(t * batch_size + b, p * C.width());
      if (rows % kTileRows == 0) {
        multiply_step({&term, 1}, b, rows, p, to, C.width(), accumulate, -1);
        continue;
      }
      // The unit writes whole tiles, for whose last rows C has no room.
      const int64_t columns = B.panel_columns(p);
      if (accumulate) {
        copy_rows(to, C.width(), rows, columns, tile, kPanel);
      }
      multiply_step({&term, 1}, b, rows, p, tile, kPanel, accumulate, -1);
      copy_rows(tile, kPanel, rows, columns, to, C.width());
    }
  }
}

}  // namespace

void multiply_step(std::span<const StepTerm> terms, int64_t b, int64_t rows, int64_t p, float* C,
                   int64_t c_stride, bool accumulate, int64_t next_p) {
  if (terms.front().B->parts() > 0) {
    for (int64_t i = 0; i < rows; i += kTwoTiles) {
      tile_work_of_step(terms, b + i, rows - i, p, C + i * c_stride, c_stride, accumulate).finish();
    }
    return;
  }
  for (const auto& [A, t, B] : terms) {
    const Panels& right = B->values();
    multiply(A->values(), t * A->batch_size() + b, rows, right, p, 0, right.rows(),
             {.C = C,
              .stride = c_stride,
              .accumulate = accumulate,
              .next = next_p < 0 ? nullptr : right.at(0, next_p * right.width())});
    accumulate = true;
    next_p = -1;
  }
}

TileWork tile_work_of_step(std::span<const StepTerm> terms, int64_t b, int64_t rows, int64_t p,
                           float* C, int64_t c_stride, bool accumulate) {
  const Weights& B = *terms.front().B;
  TileTask task{.parts = B.parts(),
                .rows = rows <= kTileRows ? 1 : 2,
                .columns = static_cast<int>(B.panel_columns(p) / kBlock),
                .result = {C, c_stride},
                .accumulate = accumulate};
  for (const auto& term : terms) {
    task.terms[task.term_count++] = tile_term(term, b, p);
  }
  return TileWork(task);
}

void multiply_steps(const Activations& A, int64_t first_step, const Weights& B, const Panels* start,
                    bool accumulate, Panels& C) {
  const int64_t at_once = B.parts() == 0 ? 1 : kTwoTiles;
  const int64_t units_of_step = (A.batch_size() + at_once - 1) / at_once;
  const int64_t steps = C.rows() / A.batch_size();
  const auto work = [&](int64_t first, int64_t last, int64_t p_begin, int64_t p_end) {
    if (B.parts() == 0) {
      multiply_rows(A.values(), first_step * A.batch_size(), B.values(), start, accumulate, C,
                    first, last, p_begin, p_end);
      return;
    }
    const auto row_of = [&](int64_t unit) {
      return unit / units_of_step * A.batch_size() + unit % units_of_step * at_once;
    };
    for (int64_t p = p_begin; start != nullptr && p < p_end; ++p) {
      for (int64_t r = row_of(first); r < row_of(last); ++r) {
        std::copy_n(start->at(0, p * C.width()), C.panel_columns(p), C.at(r, p * C.width()));
      }
    }
    multiply_pairs(A, first_step, B, accumulate || start != nullptr, C, first, last, p_begin,
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

}  // namespace unroll::cpu
