#include "kernels/cpu/matrices/product.h"

#include "kernels/cpu/machine/l2_cache.h"
#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/matrices/tile_product.h"

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

// A thread's part of C: its rows [first, last), or in tiles these pairs of tiles of rows, by the
// panels [p_begin, p_end).
struct ResultPart {
  int64_t first;
  int64_t last;
  int64_t p_begin;
  int64_t p_end;
};

void start_rows(const Panels& start, int64_t p, int64_t first, int64_t last, Panels& C) {
  for (int64_t c = 0; c < C.panel_columns(p); c += kBlock) {
    const int64_t column = p * C.width() + c;
    for (int64_t r = first; r < last; ++r) {
      std::copy_n(start.at(0, column), kBlock, C.at(r, column));
    }
  }
}

// So many rows and so much depth of A at once that they stay in the second-level cache while the
// panels of B pass by.
void multiply_rows(const Panels& A, int64_t first_row, const Panels& B, const Panels* start,
                   bool accumulate, Panels& C, const ResultPart& part) {
  constexpr int64_t kDepthAtOnce = 1024;
  // Rows that are still in the first-level cache when the product is added to what they start from.
  constexpr int64_t kStartedAtOnce = 96;
  const int64_t depth_at_once = equal_part(B.rows(), kDepthAtOnce, A.width());
  const int64_t bytes_of_row = depth_at_once * int64_t{sizeof(float)};
  const int64_t rows_at_once = std::max(kPanel, l2_cache_bytes() / 2 / bytes_of_row);
  for (int64_t r = part.first; r < part.last; r += rows_at_once) {
    const int64_t rows = std::min(rows_at_once, part.last - r);
    const float* const again = B.at(0, part.p_begin * B.width());
    for_right_sides(B, part.p_begin, part.p_end, depth_at_once, again, [&](const RightSide& right) {
      const bool starts = right.k == 0 && start != nullptr;
      const int64_t at_once = starts ? kStartedAtOnce : rows;
      auto own = right;
      for (int64_t n = r; n < r + rows; n += at_once) {
        const int64_t last = std::min(n + at_once, r + rows);
        if (starts) {
          start_rows(*start, right.p, n, last, C);
        }
        multiply(A, first_row + n, last - n, own,
                 {.C = C.at(n, right.p * C.width()),
                  .stride = C.strip(),
                  .strip_stride = C.strip_stride(),
                  .accumulate = accumulate || start != nullptr || right.k > 0});
        own.next = nullptr;  // it is there by now
      }
    });
  }
}

void multiply_pairs(const Activations& A, int64_t first_step, const Weights& B, const Panels* start,
                    bool accumulate, Panels& C, const ResultPart& part) {
  const int64_t batch_size = A.batch_size();
  const int64_t pairs_of_step = parts_of(batch_size, kTwoTiles);
  const TileScope scope(B.parts());
  alignas(64) float tile[kTwoTiles * kPanel];
  for (int64_t n = part.first; n < part.last; ++n) {
    const int64_t t = n / pairs_of_step;
    const int64_t b = n % pairs_of_step * kTwoTiles;
    const int64_t rows = std::min(kTwoTiles, batch_size - b);
    const int64_t row = t * batch_size + b;
    const StepTerm term{&A, first_step + t, &B};
    for (int64_t p = part.p_begin; p < part.p_end; ++p) {
      if (start != nullptr) {
        start_rows(*start, p, row, row + rows, C);
      }
      const bool adds = accumulate || start != nullptr;
      float* const to = C.at(row, p * C.width());
      if (rows % kTileRows == 0) {
        multiply_step({&term, 1}, b, rows, p, {.C = to, .stride = C.width(), .accumulate = adds});
        continue;
      }
      // The unit writes whole tiles, for whose last rows C has no room.
      const int64_t columns = B.panel_columns(p);
      if (adds) {
        copy_rows(to, C.width(), rows, columns, tile, kPanel);
      }
      multiply_step({&term, 1}, b, rows, p, {.C = tile, .accumulate = adds});
      copy_rows(tile, kPanel, rows, columns, to, C.width());
    }
  }
}

}  // namespace

void multiply_step(std::span<const StepTerm> terms, int64_t b, int64_t rows, int64_t p,
                   PanelResult result, int64_t next_p) {
  if (terms.front().B->parts() > 0) {
    for (int64_t i = 0; i < rows; i += kTwoTiles) {
      tile_work_of_step(terms, b + i, rows - i, p, result).finish();
      result.C += kTwoTiles * result.stride;
    }
    return;
  }
  for (const auto& [A, t, B] : terms) {
    const Panels& right = B->values();
    const float* const next = next_p < 0 ? nullptr : right.at(0, next_p * right.width());
    multiply(A->values(), t * A->batch_size() + b, rows,
             {.B = right, .p = p, .depth = right.rows(), .next = next}, result);
    result.accumulate = true;
    next_p = -1;
  }
}

TileWork tile_work_of_step(std::span<const StepTerm> terms, int64_t b, int64_t rows, int64_t p,
                           const PanelResult& result) {
  const Weights& B = *terms.front().B;
  TileTask task{.parts = B.parts(),
                .rows = rows <= kTileRows ? 1 : 2,
                .columns = static_cast<int>(B.panel_columns(p) / kBlock),
                .result = {result.C, result.stride},
                .accumulate = result.accumulate};
  for (const auto& term : terms) {
    task.terms[task.term_count++] = tile_term(term, b, p);
  }
  return TileWork(task);
}

void multiply_steps(const Activations& A, int64_t first_step, const Weights& B, const Panels* start,
                    bool accumulate, Panels& C) {
  const bool tiles = B.parts() > 0;
  const int64_t at_once = tiles ? kTwoTiles : 1;
  const int64_t units_of_step = parts_of(A.batch_size(), at_once);
  const int64_t units = C.rows() / A.batch_size() * units_of_step;
  const auto work = [&](const ResultPart& part) {
    if (tiles) {
      multiply_pairs(A, first_step, B, start, accumulate, C, part);
    } else {
      multiply_rows(A.values(), first_step * A.batch_size(), B.values(), start, accumulate, C,
                    part);
    }
  };
  if (units >= B.panels()) {
    parallel_for(0, units, grain(at_once * B.rows() * B.columns()),
                 [&](int64_t first, int64_t last) {
                   work({first, last, 0, B.panels()});
                 });
  } else {
    parallel_for(0, B.panels(), grain(C.rows() * B.rows() * B.width()),
                 [&](int64_t first, int64_t last) {
                   work({0, units, first, last});
                 });
  }
}

}  // namespace unroll::cpu
