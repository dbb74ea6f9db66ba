#include "kernels/cpu/gate_group.h"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/matrices/pack.h"
#include "kernels/cpu/matrices/product.h"

namespace unroll::cpu {

std::vector<GateGroup> gate_groups(CellKind cell, int64_t hidden) {
  std::vector<GateGroup> groups;
  if (cell == CellKind::kGruBefore) {
    groups.emplace_back(std::vector<int64_t>{0, 1}, hidden);
    groups.emplace_back(std::vector<int64_t>{2}, hidden);
    return groups;
  }
  std::vector<int64_t> all(static_cast<std::size_t>(gate_count(cell)));
  std::iota(all.begin(), all.end(), 0);
  groups.emplace_back(std::move(all), hidden);
  return groups;
}

void GateGroup::pack(const LayerParameters& parameters, int64_t inputs, int parts,
                     bool with_backward) {
  const int64_t hidden = gates_.hidden;
  W_h_.resize(hidden, gates_.columns(), gates_.width(), parts);
  b_.resize(1, gates_.columns(), gates_.width());
  if (with_backward) {
    W_h_t_.resize(gates_.columns(), hidden, kPanel, parts);
  }
  if (inputs > 0) {
    W_x_.resize(inputs, gates_.columns(), gates_.width(), parts);
  }
  for (int64_t g = 0; g < gates_.count; ++g) {
    const auto& gate = parameters.gates[members_[g]];
    for (int64_t n = 0; n < hidden; ++n) {
      b_.at(0, gates_.column(n / kBlock, g))[n % kBlock] =
          gate.b[n] + (gate.b_again == nullptr ? 0.0F : gate.b_again[n]);
    }
  }
  const int64_t cost_of_block = kCopying * kBlock * gates_.columns();
  parallel_for(0, gates_.blocks(), grain(cost_of_block), [&](int64_t first, int64_t last) {
    // Both ways of the same rows, while they are in the first-level cache
    for (int64_t k = first; k < last; ++k) {
      for (int64_t g = 0; g < gates_.count; ++g) {
        const auto& W = parameters.gates[members_[g]].W_h;
        cpu::pack(W, gates_, g, k, k + 1, W_h_);
        if (with_backward) {
          pack_transposed(W, gates_, g, k, k + 1, W_h_t_);
        }
      }
    }
  });
  parallel_for(0, parts_of(inputs, kBlock), grain(cost_of_block), [&](int64_t first, int64_t last) {
    for (int64_t g = 0; g < gates_.count; ++g) {
      cpu::pack(parameters.gates[members_[g]].W_x, gates_, g, first, last, W_x_);
    }
  });
}

void GateGroup::set_input(const TokenRows& rows, const LayerParameters& parameters) {
  const auto count = static_cast<int64_t>(rows.tokens.size());
  const int64_t hidden = gates_.hidden;
  input_.resize(count, gates_.columns(), gates_.width());
  parallel_for(0, count, grain(kCopying * gates_.columns()), [&](int64_t first, int64_t last) {
    for (int64_t g = 0; g < gates_.count; ++g) {
      const auto& W_x = parameters.gates[members_[g]].W_x;
      for (int64_t s = first; s < last; ++s) {
        const int64_t token = rows.tokens[s];
        for (int64_t n = 0; n < hidden; n += kBlock) {
          const int64_t column = gates_.column(n / kBlock, g);
          const float* b = b_.at(0, column);
          float* to = input_.at(s, column);
          for (int64_t j = 0; j < std::min(kBlock, hidden - n); ++j) {
            to[j] = W_x(token, n + j) + b[j];
          }
        }
      }
    }
  });
}

void GateGroup::set_input(const Activations& x, int64_t first_step, int64_t steps) {
  input_.resize(steps * x.batch_size(), W_x_.columns(), W_x_.width());
  multiply_steps(x, first_step, W_x_, &b_, /*accumulate=*/false, input_);
}

}  // namespace unroll::cpu
