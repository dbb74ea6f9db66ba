#include "layers/cuda_layers.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstddef>

#include "kernels/cuda/kernel_name.h"
#include "layers/dropout.h"
#include "layers/node.h"
#include "layers/packed_layer.h"
#include "layers/tensor_pointers.h"
#include "models/arguments.h"
#include "tensors/one_hot.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Tensors = std::vector<torch::Tensor>;

constexpr int64_t kMostTokens = cuda::kMostTokens;

// A layer and a batch for it.
struct LayerCall : torch::CustomClassHolder {
  const CudaKernels* kernels = nullptr;
  std::shared_ptr<Workspace> workspace;
  Layout layout{};
  cuda::Operands operands = cuda::Operands::kFloat32;
  int64_t steps = 0;
  torch::Tensor tokens;  // (T*B) int64, or undefined: the inputs are numbers
  bool with_backward = false;
  Tensors own;  // the layer's weights, for their shapes

  CellTable table() const { return table_of(layout.cell); }
};

// What the way back needs.
struct Saved {
  torch::Tensor states;    // ((T+1)*B,H), the one before the first step in front
  torch::Tensor c_before;  // (B,H)
  torch::Tensor c;         // (T*B,H)
  torch::Tensor gates;     // (T*B,GH)
  torch::Tensor p;         // (T*B,H)
  torch::Tensor W_h_t;     // (GH,H)
  torch::Tensor inputs;    // (T*B,inputs), if not tokens
  torch::Tensor W_x;       // (inputs,GH), likewise

  static Saved of(const Tensors& all) {
    return {all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7]};
  }
  Tensors all() const { return {states, c_before, c, gates, p, W_h_t, inputs, W_x}; }
};

// The layer's own weights, the state h before the first step and an LSTM's c, and the inputs
// (T*B,inputs) unless they are tokens -> the states h (T*B,H), and an LSTM's c after the last step.
class RecurrentLayer : public torch::autograd::Function<RecurrentLayer> {
 public:
  static Tensors forward(torch::autograd::AutogradContext* context,
                         const c10::intrusive_ptr<LayerCall>& call, at::TensorList tensors) {
    const auto table = call->table();
    const auto states = static_cast<std::size_t>(table.state_count);
    const bool has_tokens = call->tokens.defined();
    const auto count = tensors.size() - states - (has_tokens ? 0 : 1);
    const auto own = tensors.slice(0, count);
    const auto h_before = tensors[count].contiguous();
    const bool has_c = states > 1;
    const int64_t B = h_before.size(0);
    const int64_t H = h_before.size(1);
    const int64_t T = call->steps;
    const auto room = [&](bool wanted, int64_t rows, int64_t columns) {
      return wanted ? torch::empty({rows, columns}, h_before.options()) : torch::Tensor();
    };
    MatrixCopies copies;
    const auto weights = pack_layer(
        call->layout, own, H, {.tokens = has_tokens, .backward = call->with_backward}, copies);
    Saved saved{.states = room(true, (T + 1) * B, H),
                .c_before = has_c ? tensors[count + 1].contiguous() : torch::Tensor(),
                .c = room(has_c, T * B, H),
                .gates = room(!is_simple(call->layout.cell), T * B, table.gate_count * H),
                .p = room(table.has_b_hh || call->layout.cell == CellKind::kGruBefore, T * B, H),
                .W_h_t = weights.W_h_t,
                .inputs = has_tokens ? torch::Tensor() : tensors.back(),
                .W_x = has_tokens ? torch::Tensor() : weights.W_x};
    // So that the states that W_h multiplies lie together
    copies.add(h_before, saved.states.narrow(0, 0, B));
    copies.run(*call->kernels, h_before.device());
    auto h = saved.states.narrow(0, B, T * B);
    const auto shares =
        has_tokens ? weights.W_x : torch::addmm(weights.b, saved.inputs, weights.W_x);
    call->kernels->run(
        call->layout.cell, call->operands,
        cuda::ForwardArguments{.steps = T,
                               .batch_size = B,
                               .hidden = H,
                               .x = read(shares),
                               .row = has_tokens ? call->tokens.const_data_ptr<int64_t>() : nullptr,
                               .W_h = read(weights.W_h),
                               .b_hh = read(weights.b_hh),
                               .h_before = read(saved.states),
                               .c_before = read(saved.c_before),
                               .h = write(h),
                               .c = write(saved.c),
                               .gates = write(saved.gates),
                               .p = write(saved.p),
                               .exchange = {}},
        h_before.device(), *call->workspace);
    context->set_materialize_grads(false);
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    if (call->with_backward) {
      call->own = own.vec();
      context->save_for_backward(saved.all());
    }
    Tensors results{h};
    if (has_c) {
      results.push_back(saved.c.narrow(0, (T - 1) * B, B));
    }
    return results;
  }

  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& upstream) {
    refuse_second_derivatives();
    const auto call =
        c10::static_intrusive_pointer_cast<LayerCall>(context->saved_data["call"].toCapsule());
    const auto saved = Saved::of(context->get_saved_variables());
    const int64_t H = saved.W_h_t.size(1);
    const int64_t T = call->steps;
    const int64_t B = saved.states.size(0) / (T + 1);
    const auto options = saved.states.options();
    const auto h = saved.states.narrow(0, B, T * B);
    const auto dh =
        upstream[0].defined() ? upstream[0].contiguous() : torch::zeros({T * B, H}, options);
    const auto dc_after =
        upstream.size() > 1 ? contiguous_or_undefined(upstream[1]) : torch::Tensor();
    auto dz = torch::empty({T * B, saved.W_h_t.size(0)}, options);
    auto dp = call->table().has_b_hh ? torch::empty({T * B, H}, options) : torch::Tensor();
    const auto count = call->own.size();
    const bool has_c = saved.c.defined();
    const bool wants_state =
        context->needs_input_grad(count) || (has_c && context->needs_input_grad(count + 1));
    auto dh_before = wants_state ? torch::empty({B, H}, options) : torch::Tensor();
    auto dc_before = wants_state && has_c ? torch::empty({B, H}, options) : torch::Tensor();
    call->kernels->run(call->layout.cell, call->operands,
                       cuda::BackwardArguments{.steps = T,
                                               .batch_size = B,
                                               .hidden = H,
                                               .W_h_t = read(saved.W_h_t),
                                               .h_before = read(saved.states),
                                               .c_before = read(saved.c_before),
                                               .h = read(h),
                                               .c = read(saved.c),
                                               .gates = read(saved.gates),
                                               .p = read(saved.p),
                                               .dh = read(dh),
                                               .dh_after = nullptr,
                                               .dc_after = read(dc_after),
                                               .dz = write(dz),
                                               .dp = write(dp),
                                               .dh_before = write(dh_before),
                                               .dc_before = write(dc_before),
                                               .exchange = {}},
                       saved.states.device(), *call->workspace);
    PackedGradients gradients(call->layout, call->own, H);
    const bool has_tokens = call->tokens.defined();
    torch::Tensor dx;
    // Sums need little of the device, products all of it: the sums begin first.
    call->kernels->run_beside(
        [&] {
          if (has_tokens) {
            token_gradients(*call, dz, dp, gradients);
          } else {
            sum_rows(dp, gradients.b_hh);
            sum_rows(dz, gradients.b);
          }
        },
        [&] {
          recurrent_gradient(call->layout.cell, saved.states.narrow(0, 0, T * B), saved.p, dz, dp,
                             gradients);
          if (!has_tokens) {
            at::mm_out(gradients.W_x, saved.inputs.t(), dz);
          }
          if (!has_tokens && context->needs_input_grad(count + (has_c ? 2 : 1))) {
            dx = dz.mm(saved.W_x.t());
          }
        },
        saved.states.device(), *call->workspace);
    auto results = gradients.take(*call->kernels);
    results.insert(results.begin(), torch::Tensor());  // the call itself
    results.push_back(dh_before);
    if (has_c) {
      results.push_back(dc_before);
    }
    if (!has_tokens) {
      results.push_back(dx);
    }
    return results;
  }

 private:
  // Of a warp, that so many columns take.
  static int64_t widths_of(int64_t columns) { return (columns + cuda::kLanes - 1) / cuda::kLanes; }

  static void sum_rows(const torch::Tensor& of, torch::Tensor& to) {
    if (of.defined()) {
      at::sum_out(to, of, 0);
    }
  }

  // By the rows that tokens were looked up in, and all biases.
  static void token_gradients(const LayerCall& call, const torch::Tensor& dz,
                              const torch::Tensor& dp, PackedGradients& to) {
    const int64_t V = to.W_x.size(0);
    const auto device = dz.device();
    const auto& kernels = *call.kernels;
    const auto shared_bytes = static_cast<int>(
        cuda::token_sums_floats(static_cast<int>(std::min(V, kMostTokens))) * sizeof(float));
    if (V <= kMostTokens && shared_bytes <= kernels.limits(device).shared_bytes) {
      const int64_t columns = dz.size(1);
      kernels.run(cuda::kSumByToken,
                  cuda::TokenSumsArguments{.rows = dz.size(0),
                                           .columns = columns,
                                           .vocab_size = V,
                                           .token = call.tokens.const_data_ptr<int64_t>(),
                                           .dz = read(dz),
                                           .dx = write(to.W_x),
                                           .db = write(to.b),
                                           .other_columns = dp.defined() ? dp.size(1) : 0,
                                           .other = read(dp),
                                           .other_sum = write(to.b_hh)},
                  kernels.blocks_for(
                      widths_of(columns) + (dp.defined() ? widths_of(dp.size(1)) : 0), device),
                  shared_bytes, device);
      return;
    }
    // The product sums up in one order; adding in place does not on a GPU, but costs less for many
    // rows, of which most are not used.
    constexpr int64_t kMostRows = 1024;
    if (V <= kMostRows) {
      at::mm_out(to.W_x, one_hot(call.tokens, V, dz.scalar_type()).t(), dz);
    } else {
      to.W_x.zero_().index_add_(0, call.tokens, dz);
    }
    sum_rows(dz, to.b);
    sum_rows(dp, to.b_hh);
  }

  static void recurrent_gradient(CellKind cell, const torch::Tensor& h_before,
                                 const torch::Tensor& p, const torch::Tensor& dz,
                                 const torch::Tensor& dp, PackedGradients& to) {
    const int64_t H = h_before.size(1);
    const auto gate = [&](const torch::Tensor& all, int64_t g, int64_t count = 1) {
      return all.narrow(1, g * H, count * H);
    };
    const auto multiply = [&](torch::Tensor result, const torch::Tensor& h,
                              const torch::Tensor& by_sums) { at::mm_out(result, h.t(), by_sums); };
    if (cell == CellKind::kGruAfter) {
      multiply(gate(to.W_h, 0, 2), h_before, gate(dz, 0, 2));
      multiply(gate(to.W_h, 2), h_before, dp);
    } else if (cell == CellKind::kGruBefore) {
      multiply(gate(to.W_h, 0, 2), h_before, gate(dz, 0, 2));
      multiply(gate(to.W_h, 2), p, gate(dz, 2));
    } else {
      multiply(to.W_h, h_before, dz);
    }
  }
};

}  // namespace

std::optional<cuda::Operands> operands_of(const CudaKernels& kernels, Precision precision,
                                          CellKind cell, int64_t batch_size, int64_t hidden,
                                          torch::Device device) {
  for (const auto operands : {cuda::Operands::kBf16, cuda::Operands::kFloat32}) {
    const bool is_wanted = operands == cuda::Operands::kFloat32 || precision == Precision::kBf16;
    if (is_wanted && kernels.serve(cell, operands, batch_size, hidden, device,
                                   {cuda::kCopyMatrices, cuda::kSumByToken})) {
      return operands;
    }
  }
  return std::nullopt;
}

std::optional<cuda::Operands> LayerOperands::of(int64_t batch_size, torch::Device device) {
  const auto [found, is_new] = found_.try_emplace({batch_size, device.index()});
  if (is_new) {
    found->second = operands_of(kernels_, precision_, cell_, batch_size, hidden_, device);
  }
  return found->second;
}

std::pair<torch::Tensor, State> run_layers_on_cuda(const CudaKernels& kernels, const Layout& layout,
                                                   at::TensorList weights,
                                                   const torch::Tensor& input, const State& state,
                                                   cuda::Operands operands,
                                                   const std::shared_ptr<Workspace>& workspace,
                                                   double dropout,
                                                   const std::optional<at::Generator>& generator) {
  const int64_t T = input.size(0);
  const int64_t B = input.size(1);
  const int64_t H = hidden_of(layout, weights);
  const bool from_tokens = !input.is_floating_point();
  if (!from_tokens) {
    check_shape(input, {T, B, inputs_of(layout, weights)}, "the inputs");
  }
  check_states(layout, state, B, H, weights.front());
  const auto of_layer = [&](const torch::Tensor& s, int64_t l) {
    return layout.concise ? s[l] : s;
  };
  // Tokens in memory of their own: else a view if T is 1.
  auto h = from_tokens ? input.reshape({-1}).contiguous() : input.reshape({T * B, -1});
  std::vector<State> after(state.size());
  for (int64_t l = 0; l < layout.layers; ++l) {
    auto tensors = weights_of_layer(layout, weights, l).vec();
    for (const auto& s : state) {
      tensors.push_back(of_layer(s, l));
    }
    const auto call = c10::make_intrusive<LayerCall>();
    call->kernels = &kernels;
    call->workspace = workspace;
    call->layout = layout;
    call->operands = operands;
    call->steps = T;
    if (l == 0 && from_tokens) {
      // Looking a token up is a product with its one-hot row.
      call->tokens = h;
    } else {
      tensors.push_back(l > 0 && dropout > 0 ? dropped(h, dropout, generator) : h);
    }
    call->with_backward = wants_gradient(tensors);
    const auto results = RecurrentLayer::apply(call, at::TensorList(tensors));
    h = results[0];
    after[0].push_back(h.narrow(0, (T - 1) * B, B));
    if (state.size() > 1) {
      after[1].push_back(results[1]);
    }
  }
  State next;
  for (const auto& layers : after) {
    next.push_back(!layout.concise      ? layers.front()
                   : layers.size() == 1 ? layers.front().unsqueeze(0)
                                        : torch::stack(layers));
  }
  return {h.view({T, B, H}), std::move(next)};
}

}  // namespace unroll
