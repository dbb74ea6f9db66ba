#include "kernels/cpu/output_layer.h"

#include <algorithm>

#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/matrices/pack.h"
#include "kernels/cpu/matrices/rows.h"
#include "kernels/cpu/softmax.h"

namespace unroll::cpu {

void OutputLayer::pack(const OutputParameters& parameters, bool with_backward) {
  const int64_t hidden = parameters.W_hq.rows;
  const int64_t V = parameters.W_hq.columns;
  const Gates outputs{.count = 1, .hidden = V};
  W_.resize(hidden, V, kPanel, parts_);
  if (with_backward) {
    W_t_.resize(V, hidden, kPanel, parts_);
  }
  b_.resize(1, V);
  copy_rows_in(parameters.b_q, 0, 1, V, b_);
  parallel_for(0, parts_of(hidden, kBlock), grain(kCopying * kBlock * V),
               [&](int64_t first, int64_t last) {
                 cpu::pack(parameters.W_hq, outputs, 0, first, last, W_);
                 if (with_backward) {
                   pack_transposed(parameters.W_hq, outputs, 0, first, last, W_t_);
                 }
               });
}

void OutputLayer::forward(const Activations& h, bool with_backward) {
  logits_.resize(h.steps() - 1, h.batch_size(), W_.columns(), kPanel,
                 {.parts = with_backward ? parts_ : 0, .right = true});
  multiply_steps(h, 1, W_, &b_, /*accumulate=*/false, logits_.values());
}

double OutputLayer::mean_cross_entropy(const int64_t* labels) {
  // In parts that do not depend on the number of threads, so that the sum does not either.
  constexpr int64_t kRowsOfAPart = 64;
  auto& logits = logits_.values();
  const int64_t rows = logits.rows();
  const int64_t parts = parts_of(rows, kRowsOfAPart);
  std::vector<double> totals(static_cast<std::size_t>(parts));
  const int64_t counted = rows - std::count(labels, labels + rows, kIgnoredLabel);
  const float scale = 1.0F / static_cast<float>(counted);
  parallel_for(0, parts, grain(kCopying * kRowsOfAPart * logits.columns()),
               [&](int64_t first, int64_t last) {
                 for (int64_t n = first; n < last; ++n) {
                   totals[n] =
                       softmax_cross_entropy(logits, n * kRowsOfAPart,
                                             std::min(rows, (n + 1) * kRowsOfAPart), labels, scale);
                 }
               });
  double total = 0;
  for (const double part : totals) {
    total += part;
  }
  return total / static_cast<double>(counted);
}

void OutputLayer::backward(const OutputParameters& gradients) {
  const int64_t V = logits_.columns();
  if (parts_ > 0) {
    parallel_for(0, logits_.steps(), grain(kCopying * logits_.batch_size() * V),
                 [&](int64_t first, int64_t last) { values_to_tiles(first, last, logits_); });
  }
  sums_.resize(1, V);
  const int64_t cost = logits_.steps() * logits_.batch_size() * sums_.width();
  parallel_for(0, sums_.panels(), grain(cost), [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      sum_rows(logits_, /*slot=*/nullptr, p, sums_);
    }
  });
  copy_rows_out(sums_, 0, 1, V, gradients.b_q);
}

GradientTerm OutputLayer::weight_term(const OutputParameters& gradients) const {
  return {.dz = &logits_,
          .first_step = 1,
          .gates = {.count = 1, .hidden = logits_.columns()},
          .gradients = {&gradients.W_hq}};
}

}  // namespace unroll::cpu
