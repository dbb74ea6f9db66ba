#pragma once

#include <torch/types.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cell_table.h"
#include "kernels/cuda/shapes.h"

namespace unroll::cuda {

/// A layer, and a batch for it.
struct LayerCase {
  CellKind cell = CellKind::kRnn;
  int64_t steps;
  int64_t batch_size;
  int64_t hidden;
  bool from_rows = true;  // the inputs' share by rows of a table
  bool with_state_gradient = true;
  Operands operands = Operands::kFloat32;
};

/// A layer's inputs, what it computes, and the gradients, by LibTorch.
class ExpectedLayer {
 public:
  explicit ExpectedLayer(const LayerCase& c) : c_(c) {
    at::manual_seed(1);
    const int64_t T = c.steps, B = c.batch_size, H = c.hidden, GH = gate_count(c.cell) * H;
    x = torch::randn({c.from_rows ? 7 : T * B, GH}) * 0.5;
    if (c.from_rows) {
      row = torch::randint(7, {T * B}, torch::kInt64);
    }
    W_h = torch::randn({H, GH}) / std::sqrt(static_cast<double>(H));
    b_hh = torch::randn({H}) * 0.3;
    h_before = (torch::randn({B, H}) * 0.5).requires_grad_();
    c_before = (torch::randn({B, H}) * 0.5).requires_grad_();
    dh = torch::randn({T * B, H});
    dh_after = torch::randn({B, H});
    dc_after = torch::randn({B, H});
    z = (c.from_rows ? x.index_select(0, row) : x.clone()).requires_grad_();
    compute();
  }

  bool has_c() const { return unroll::has_c(c_.cell); }
  bool has_p() const { return table_of(c_.cell).has_b_hh; }

  torch::Tensor x, row, W_h, b_hh, h_before, c_before, dh, dh_after, dc_after;
  torch::Tensor h, c, dz, dp, dh_before, dc_before;  // expected

 private:
  static torch::Tensor rounded(const torch::Tensor& t) {
    return t.to(torch::kBFloat16).to(torch::kFloat32);
  }

  // A product whose operands are rounded if the case is in bf16, forward and backward.
  static torch::Tensor product(const LayerCase& c, const torch::Tensor& values,
                               const torch::Tensor& weights) {
    if (c.operands == Operands::kFloat32) {
      return values.mm(weights);
    }
    const auto as_rounded = [](const torch::Tensor& t) { return t + (rounded(t) - t).detach(); };
    auto result = as_rounded(values).mm(as_rounded(weights));
    result.register_hook([](const torch::Tensor& gradient) { return rounded(gradient); });
    return result;
  }

  void compute() {
    const int64_t T = c_.steps, B = c_.batch_size, H = c_.hidden;
    const auto inputs = z.view({T, B, -1});
    std::vector<torch::Tensor> hs, cs, ps;
    torch::Tensor state = h_before, memory = c_before;
    const auto gate = [&](const torch::Tensor& gates, int64_t g) {
      return gates.narrow(1, g * H, H);
    };
    for (int64_t t = 0; t < T; ++t) {
      const auto in = inputs[t];
      const auto sums = product(c_, state, W_h);
      switch (c_.cell) {
        case CellKind::kRnn:
          state = torch::tanh(in + sums);
          break;
        case CellKind::kRnnRelu:
          state = torch::relu(in + sums);
          break;
        case CellKind::kLstm: {
          const auto all = in + sums;
          memory = torch::sigmoid(gate(all, 1)) * memory +
                   torch::sigmoid(gate(all, 0)) * torch::tanh(gate(all, 3));
          state = torch::sigmoid(gate(all, 2)) * torch::tanh(memory);
          cs.push_back(memory);
          break;
        }
        case CellKind::kGruAfter: {
          const auto update = torch::sigmoid(gate(in, 0) + gate(sums, 0));
          const auto reset = torch::sigmoid(gate(in, 1) + gate(sums, 1));
          auto p = gate(sums, 2) + b_hh;
          p.retain_grad();
          ps.push_back(p);
          const auto n = torch::tanh(gate(in, 2) + reset * p);
          state = update * state + (1 - update) * n;
          break;
        }
        case CellKind::kGruBefore: {
          const auto update = torch::sigmoid(gate(in, 0) + gate(sums, 0));
          const auto reset = torch::sigmoid(gate(in, 1) + gate(sums, 1));
          const auto n = torch::tanh(gate(in, 2) + product(c_, reset * state, gate(W_h, 2)));
          state = update * state + (1 - update) * n;
          break;
        }
      }
      hs.push_back(state);
    }
    h = torch::cat(hs, 0);
    auto objective = (h * dh).sum();
    if (c_.with_state_gradient) {
      objective = objective + (state * dh_after).sum();
      if (has_c()) {
        objective = objective + (memory * dc_after).sum();
      }
    }
    W_h.requires_grad_(has_p());  // so that p has a gradient
    objective.backward();
    h = h.detach();
    dz = z.grad();
    dh_before = h_before.grad();
    if (has_c()) {
      c = torch::cat(cs, 0).detach();
      dc_before = c_before.grad();
    }
    if (has_p()) {
      std::vector<torch::Tensor> gradients;
      for (const auto& p : ps) {
        gradients.push_back(p.grad());
      }
      dp = torch::cat(gradients, 0);
    }
    W_h = W_h.detach();
  }

  LayerCase c_;
  torch::Tensor z;
};

}  // namespace unroll::cuda
