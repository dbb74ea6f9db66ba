#include "kernels/cpu/input_gradient.h"

#include <algorithm>

#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/matrices/pack.h"
#include "kernels/cpu/matrices/product.h"
#include "kernels/cpu/matrices/rows.h"

namespace unroll::cpu {

void InputGradient::pack(const LayerParameters& parameters, int64_t inputs, int parts) {
  W_x_t_.resize(gates_.columns(), inputs, kPanel, parts);
  parallel_for(0, parts_of(inputs, kBlock), grain(kCopying * kBlock * gates_.columns()),
               [&](int64_t first, int64_t last) {
                 for (int64_t g = 0; g < gates_.count; ++g) {
                   if (members_[g] >= 0) {
                     pack_transposed(parameters.gates[members_[g]].W_x, gates_, g, first, last,
                                     W_x_t_);
                   }
                 }
               });
}

void InputGradient::write_block(const TokenRows* rows, int64_t column,
                                const LayerParameters& gradients) const {
  const int64_t block = column / kBlock;
  const int64_t member = members_[block % gates_.count];
  const int64_t unit = block / gates_.count * kBlock;
  const int64_t units = std::min(kBlock, gates_.hidden - unit);
  float total[kBlock] = {};
  for (int64_t s = 0; s < sums_.rows(); ++s) {
    const float* sums = sums_.at(s, column);
    for (int64_t j = 0; j < kBlock; ++j) {
      total[j] += sums[j];
    }
    if (rows != nullptr && member >= 0) {
      unpack_block(sums, kBlock, 1, units, rows->tokens[s], unit, gradients.gates[member].W_x);
    }
  }
  if (member < 0) {
    std::copy_n(total, units, gradients.b_hh + unit);
    return;
  }
  const auto& gate = gradients.gates[member];
  std::copy_n(total, units, gate.b + unit);
  if (gate.b_again != nullptr) {
    std::copy_n(total, units, gate.b_again + unit);
  }
}

void InputGradient::sum(const TokenRows* rows, const LayerParameters& gradients) {
  const int64_t all = dz_.steps() * dz_.batch_size();
  const int32_t* const slot = rows == nullptr ? nullptr : rows->slot.data();
  sums_.resize(rows == nullptr ? 1 : static_cast<int64_t>(rows->tokens.size()), gates_.columns(),
               gates_.width());
  parallel_for(0, sums_.panels(), grain(all * sums_.width()), [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      sum_rows(dz_, slot, p, sums_);
      for (int64_t c = 0; c < sums_.panel_columns(p); c += kBlock) {
        write_block(rows, p * sums_.width() + c, gradients);
      }
    }
  });
}

GradientTerm InputGradient::term(int64_t first_step, const LayerParameters& gradients) const {
  GradientTerm term{.dz = &dz_, .first_step = first_step, .gates = gates_, .gradients = {}};
  term.gradients.reserve(members_.size());
  for (const int64_t member : members_) {
    term.gradients.push_back(member < 0 ? nullptr : &gradients.gates[member].W_x);
  }
  return term;
}

void InputGradient::by_input(Panels& dx, bool accumulate) const {
  multiply_steps(dz_, 0, W_x_t_, nullptr, accumulate, dx);
}

}  // namespace unroll::cpu
