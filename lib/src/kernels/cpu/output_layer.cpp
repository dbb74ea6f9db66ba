#include "kernels/cpu/output_layer.h"

#include <algorithm>

#include "kernels/cpu/pack.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/softmax.h"
#include "kernels/cpu/weight_gradients.h"

namespace unroll::cpu {

void OutputLayer::pack(const OutputParameters& parameters, bool with_backward) {
  const int64_t hidden = parameters.W_hq.rows;
  const int64_t V = parameters.W_hq.columns;
  const Gates outputs{.count = 1, .hidden = V};
  W_.resize(hidden, V);
  b_.resize(1, V);
  copy_rows_in(parameters.b_q, 1, V, b_);
  parallel_for(0, hidden, grain(V), [&](int64_t first, int64_t last) {
    cpu::pack(parameters.W_hq, outputs, 0, first, last, W_);
  });
  if (with_backward) {
    W_t_.resize(V, hidden);
    parallel_for(0, outputs.blocks(), grain(hidden * kBlock), [&](int64_t first, int64_t last) {
      pack_transposed(parameters.W_hq, outputs, 0, first * kBlock, std::min(last * kBlock, V),
                      W_t_);
    });
  }
}

void OutputLayer::forward(const Panels& h, int64_t first_row) {
  const int64_t rows = h.rows() - first_row;
  logits_.resize(rows, W_.columns());
  const auto multiply_part = [&](int64_t first, int64_t last, int64_t p_begin, int64_t p_end) {
    for (int64_t p = p_begin; p < p_end; ++p) {
      multiply(h, first_row + first, last - first, W_, p, logits_.at(first, p * kPanel), kPanel,
               false);
      add_row(b_, first, last, p, logits_);
    }
  };
  if (rows >= W_.panels()) {
    parallel_for(0, rows, grain(W_.rows() * W_.columns()),
                 [&](int64_t first, int64_t last) { multiply_part(first, last, 0, W_.panels()); });
  } else {
    parallel_for(0, W_.panels(), grain(rows * W_.rows() * kPanel),
                 [&](int64_t first, int64_t last) { multiply_part(0, rows, first, last); });
  }
}

double OutputLayer::mean_cross_entropy(const int64_t* labels) {
  // In parts that do not depend on the number of threads, so that the sum does not either.
  constexpr int64_t kRowsOfAPart = 64;
  const int64_t rows = logits_.rows();
  const int64_t parts = (rows + kRowsOfAPart - 1) / kRowsOfAPart;
  std::vector<double> totals(static_cast<std::size_t>(parts));
  const float scale = 1.0F / static_cast<float>(rows);
  parallel_for(
      0, parts, grain(kRowsOfAPart * logits_.columns() * 16), [&](int64_t first, int64_t last) {
        for (int64_t n = first; n < last; ++n) {
          totals[n] = softmax_cross_entropy(logits_, n * kRowsOfAPart,
                                            std::min(rows, (n + 1) * kRowsOfAPart), labels, scale);
        }
      });
  double total = 0;
  for (const double part : totals) {
    total += part;
  }
  return total / static_cast<double>(rows);
}

void OutputLayer::backward(const Panels& h, int64_t first_row, const OutputParameters& gradients,
                           Panels& dh) {
  const int64_t rows = logits_.rows();
  const int64_t V = logits_.columns();
  const Gates outputs{.count = 1, .hidden = V};
  parallel_for(0, rows, grain(h.columns() * V), [&](int64_t first, int64_t last) {
    for (int64_t p = 0; p < W_t_.panels(); ++p) {
      multiply(logits_, first, last - first, W_t_, p, dh.at(first, p * kPanel), kPanel, false);
    }
  });
  weight_gradients(h, first_row, logits_, outputs,
                   [&](int64_t) -> const StridedMatrix* { return &gradients.W_hq; });
  one_slot_.assign(static_cast<std::size_t>(rows), 0);
  sums_.resize(1, V);
  for (int64_t p = 0; p < sums_.panels(); ++p) {
    sum_rows(logits_, one_slot_.data(), p, sums_);
  }
  for (int64_t v = 0; v < V; ++v) {
    gradients.b_q[v] = *sums_.at(0, v);
  }
}

}  // namespace unroll::cpu
