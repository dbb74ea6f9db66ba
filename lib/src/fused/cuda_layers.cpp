#include "fused/cuda_layers.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/formatted.h"
#include "fused/tensor_pointers.h"
#include "tensors/one_hot.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Tensors = std::vector<torch::Tensor>;

// Side by side; one alone as it is.
torch::Tensor side_by_side(const Tensors& tensors, int64_t dimension) {
  return tensors.size() == 1 ? tensors.front() : torch::cat(tensors, dimension);
}

// As at::dropout, which takes no generator.
torch::Tensor dropped(const torch::Tensor& h, double p,
                      const std::optional<at::Generator>& generator) {
  if (!generator) {
    return torch::dropout(h, p, /*train=*/true);
  }
  return h * torch::empty_like(h).bernoulli_(1 - p, generator).div_(1 - p);
}

// A layer and a batch for it.
struct LayerCall : torch::CustomClassHolder {
  const CudaKernels* kernels = nullptr;
  CellKind cell = CellKind::kRnn;
  cuda::Operands operands = cuda::Operands::kFloat32;
  int64_t steps = 0;
  torch::Tensor row;  // (T*B) int64: which row of the inputs' share, or undefined: each its own
};

// The inputs' share (R,GH), W_h, the state h before the first step, and of an LSTM its c, of a GRU
// with the reset after the product b_hh -> the states h (T*B,H), and an LSTM's c after the last
// step.
class RecurrentLayer : public torch::autograd::Function<RecurrentLayer> {
 public:
  static Tensors forward(torch::autograd::AutogradContext* context,
                         const c10::intrusive_ptr<LayerCall>& call, at::TensorList tensors) {
    const auto& x = tensors[0];
    const auto& W_h = tensors[1];
    const auto& h_before = tensors[2];
    const auto table = table_of(call->cell);
    const bool has_c = table.state_count > 1;
    const int64_t B = h_before.size(0);
    const int64_t H = h_before.size(1);
    const int64_t T = call->steps;
    const int64_t G = gate_count(call->cell);
    const auto room = [&](bool wanted, int64_t rows, int64_t columns) {
      return wanted ? torch::empty({rows, columns}, h_before.options()) : torch::Tensor();
    };
    // With the state before the first step in front: the states that W_h multiplied lie together.
    auto states = room(true, (T + 1) * B, H);
    states.narrow(0, 0, B).copy_(h_before);
    auto h = states.narrow(0, B, T * B);
    auto c = room(has_c, T * B, H);
    auto gates = room(!is_simple(call->cell), T * B, G * H);
    auto p = room(table.has_b_hh, T * B, H);
    const auto shares = x.contiguous();
    const auto weights = W_h.contiguous();
    const auto c_before = has_c ? tensors[3].contiguous() : torch::Tensor();
    const auto b_hh = table.has_b_hh ? tensors[3].contiguous() : torch::Tensor();
    call->kernels->run(
        call->cell, call->operands,
        cuda::ForwardArguments{
            .steps = T,
            .batch_size = B,
            .hidden = H,
            .x = read(shares),
            .row = call->row.defined() ? call->row.const_data_ptr<int64_t>() : nullptr,
            .W_h = read(weights),
            .b_hh = read(b_hh),
            .h_before = read(states),
            .c_before = read(c_before),
            .h = write(h),
            .c = write(c),
            .gates = write(gates),
            .p = write(p),
            .exchange = {}},
        h_before.device());
    context->set_materialize_grads(false);
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    context->saved_data["rows of x"] = x.size(0);
    context->save_for_backward({states, weights, c_before, c, gates, p});
    Tensors results{h};
    if (has_c) {
      results.push_back(c.narrow(0, (T - 1) * B, B));
    }
    return results;
  }

  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& upstream) {
    if (torch::GradMode::is_enabled()) {
      throw Error("the fused backend has no second derivatives; choose compute plain");
    }
    const auto call =
        c10::static_intrusive_pointer_cast<LayerCall>(context->saved_data["call"].toCapsule());
    const auto saved = context->get_saved_variables();
    const auto& states = saved[0];
    const auto& W_h = saved[1];
    const auto& c_before = saved[2];
    const auto& c = saved[3];
    const auto& gates = saved[4];
    const auto& p = saved[5];
    const int64_t H = W_h.size(0);
    const int64_t columns = W_h.size(1);
    const int64_t T = call->steps;
    const int64_t B = states.size(0) / (T + 1);
    const auto options = states.options();
    const auto h = states.narrow(0, B, T * B);
    const auto dh =
        upstream[0].defined() ? upstream[0].contiguous() : torch::zeros({T * B, H}, options);
    const auto dc_after =
        upstream.size() > 1 ? contiguous_or_undefined(upstream[1]) : torch::Tensor();
    const auto transposed = W_h.t().contiguous();
    auto dz = torch::empty({T * B, columns}, options);
    auto dp = p.defined() ? torch::empty({T * B, H}, options) : torch::Tensor();
    const bool wants_state =
        context->needs_input_grad(2) || (c.defined() && context->needs_input_grad(3));
    auto dh_before = wants_state ? torch::empty({B, H}, options) : torch::Tensor();
    auto dc_before = wants_state && c.defined() ? torch::empty({B, H}, options) : torch::Tensor();
    call->kernels->run(call->cell, call->operands,
                       cuda::BackwardArguments{.steps = T,
                                               .batch_size = B,
                                               .hidden = H,
                                               .W_h_t = read(transposed),
                                               .h_before = read(states),
                                               .c_before = read(c_before),
                                               .h = read(h),
                                               .c = read(c),
                                               .gates = read(gates),
                                               .p = read(p),
                                               .dh = read(dh),
                                               .dh_after = nullptr,
                                               .dc_after = read(dc_after),
                                               .dz = write(dz),
                                               .dp = write(dp),
                                               .dh_before = write(dh_before),
                                               .dc_before = write(dc_before),
                                               .exchange = {}},
                       states.device());
    Tensors gradients{
        torch::Tensor(), x_gradient(*call, dz, context->saved_data["rows of x"].toInt()),
        recurrent_gradient(call->cell, states.narrow(0, 0, T * B), gates, dz, dp), dh_before};
    if (c.defined()) {
      gradients.push_back(dc_before);
    } else if (dp.defined()) {
      gradients.push_back(dp.sum(0));
    }
    return gradients;
  }

 private:
  // Of the rows of x: the sums over where each is used.
  static torch::Tensor x_gradient(const LayerCall& call, const torch::Tensor& dz, int64_t rows) {
    if (!call.row.defined()) {
      return dz;
    }
    // The product sums up in one order; adding in place does not on a GPU, but costs less for many
    // rows, of which most are not used.
    constexpr int64_t kMostRows = 1024;
    return rows <= kMostRows
               ? one_hot(call.row, rows, dz.scalar_type()).t().mm(dz)
               : torch::zeros({rows, dz.size(1)}, dz.options()).index_add_(0, call.row, dz);
  }

  static torch::Tensor recurrent_gradient(CellKind cell, const torch::Tensor& h_before,
                                          const torch::Tensor& gates, const torch::Tensor& dz,
                                          const torch::Tensor& dp) {
    const int64_t H = h_before.size(1);
    const auto gate = [&](const torch::Tensor& all, int64_t g, int64_t count = 1) {
      return all.narrow(1, g * H, count * H);
    };
    if (cell == CellKind::kGruAfter) {
      return torch::cat({h_before.t().mm(gate(dz, 0, 2)), h_before.t().mm(dp)}, 1);
    }
    if (cell == CellKind::kGruBefore) {
      const auto reset = gate(gates, 1) * h_before;
      return torch::cat({h_before.t().mm(gate(dz, 0, 2)), reset.t().mm(gate(dz, 2))}, 1);
    }
    return h_before.t().mm(dz);
  }
};

}  // namespace

StackedLayer stack_layer(const Layout& layout, at::TensorList weights, int64_t l) {
  const auto layer = layer_tensors(layout, weights, l);
  Tensors W_x;
  Tensors b;
  Tensors W_h;
  for (const auto& gate : layer.gates) {
    W_x.push_back(gate.W_x);
    W_h.push_back(gate.W_h);
    b.push_back(gate.b_again.defined() ? gate.b + gate.b_again : gate.b);
  }
  return {.W_x = side_by_side(W_x, 1),
          .b = side_by_side(b, 0),
          .W_h = side_by_side(W_h, 1),
          .b_hh = layer.b_hh};
}

std::optional<cuda::Operands> operands_of(const CudaKernels& kernels, Precision precision,
                                          CellKind cell, int64_t batch_size, int64_t hidden,
                                          torch::Device device) {
  for (const auto operands : {cuda::Operands::kBf16, cuda::Operands::kFloat32}) {
    const bool is_wanted = operands == cuda::Operands::kFloat32 || precision == Precision::kBf16;
    if (is_wanted && kernels.serve(cell, operands, batch_size, hidden, device)) {
      return operands;
    }
  }
  return std::nullopt;
}

std::pair<torch::Tensor, State> run_on_cuda(const CudaKernels& kernels, const Layout& layout,
                                            at::TensorList weights, const torch::Tensor& X,
                                            const State& state, double dropout,
                                            cuda::Operands operands,
                                            const std::optional<at::Generator>& generator) {
  check_states(layout, state, X.size(0), hidden_of(layout, weights), weights.back());
  const int64_t B = X.size(0);
  const int64_t T = X.size(1);
  const auto of_layer = [&](const torch::Tensor& s, int64_t l) {
    return layout.concise ? s[l] : s;
  };
  torch::Tensor h;
  std::vector<State> after(state.size());
  for (int64_t l = 0; l < layout.layers; ++l) {
    const auto layer = stack_layer(layout, weights, l);
    const auto call = c10::make_intrusive<LayerCall>();
    call->kernels = &kernels;
    call->cell = layout.cell;
    call->operands = operands;
    call->steps = T;
    torch::Tensor x;
    if (l == 0) {
      // Looking a token up is a product with its one-hot row.
      call->row = X.t().reshape({-1}).contiguous();  // else a view if T is 1
      x = layer.W_x + layer.b;
    } else {
      const auto inputs = dropout > 0 ? dropped(h, dropout, generator) : h;
      x = torch::addmm(layer.b, inputs, layer.W_x);
    }
    Tensors tensors{x, layer.W_h, of_layer(state[0], l)};
    if (state.size() > 1) {
      tensors.push_back(of_layer(state[1], l));
    } else if (layer.b_hh.defined()) {
      tensors.push_back(layer.b_hh);
    }
    const auto results = RecurrentLayer::apply(call, at::TensorList(tensors));
    h = results[0];
    after[0].push_back(h.narrow(0, (T - 1) * B, B));
    if (state.size() > 1) {
      after[1].push_back(results[1]);
    }
  }
  State next;
  for (const auto& layers : after) {
    next.push_back(layout.concise ? torch::stack(layers) : layers.front());
  }
  const auto& W_hq = weights[weights.size() - 2];
  return {torch::addmm(weights.back(), h, layout.concise ? W_hq.t() : W_hq), std::move(next)};
}

}  // namespace unroll
