#include "fused/cuda_output.h"

#include <ATen/ops/_foreach_mul.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "kernels/cuda/kernel_name.h"
#include "layers/node.h"
#include "layers/tensor_pointers.h"
#include "models/arguments.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Tensors = std::vector<torch::Tensor>;

// A batch's labels, and what was computed of it for the way back.
struct OutputCall : torch::CustomClassHolder {
  const CudaKernels* kernels = nullptr;
  std::shared_ptr<Workspace> workspace;
  torch::Tensor labels;
  bool with_backward = false;
  torch::Tensor dlogits;  // (R,V)
  torch::Tensor dh;       // (R,H)
  torch::Tensor db_q;     // (V)
};

// h, W_hq, b_q -> the loss.
class OutputLayer : public torch::autograd::Function<OutputLayer> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const c10::intrusive_ptr<OutputCall>& call,
                               const torch::Tensor& h_of_any, const torch::Tensor& W_hq,
                               const torch::Tensor& b_q) {
    const auto h = h_of_any.contiguous();
    const int64_t R = h.size(0);
    const int64_t H = h.size(1);
    const int64_t V = b_q.numel();
    check_shape(W_hq, {H, V}, "the output layer's weights");
    check_shape(call->labels, {R}, "labels");
    const auto device = h.device();
    const auto layout = cuda::output_layout(static_cast<int>(H), static_cast<int>(V));
    const auto shared_bytes = layout.end * static_cast<int>(sizeof(float));
    const int blocks = call->kernels->blocks_for(
        (R + cuda::kOutputRows - 1) / cuda::kOutputRows, device,
        cuda::output_blocks_each(layout, call->kernels->limits(device).shared_bytes));
    const auto bias = b_q.contiguous();
    auto loss = torch::empty({}, h.options());
    auto losses = torch::empty({blocks}, h.options().dtype(torch::kFloat64));
    torch::Tensor parts;
    if (call->with_backward) {
      call->dlogits = torch::empty({R, V}, h.options());
      call->dh = torch::empty({R, H}, h.options());
      call->db_q = torch::empty({V}, h.options());
      parts = torch::empty({blocks, V}, h.options());
    }
    call->kernels->run(cuda::kOutputLayer,
                       cuda::OutputArguments{.rows = R,
                                             .hidden = H,
                                             .vocab_size = V,
                                             .h = read(h),
                                             .W_hq = read(W_hq),
                                             .W_row = W_hq.stride(0),
                                             .W_column = W_hq.stride(1),
                                             .b_q = read(bias),
                                             .labels = call->labels.const_data_ptr<int64_t>(),
                                             .loss = write(loss),
                                             .dlogits = write(call->dlogits),
                                             .dh = write(call->dh),
                                             .db_q = write(call->db_q),
                                             .losses = losses.mutable_data_ptr<double>(),
                                             .db_q_parts = write(parts),
                                             .arrivals = nullptr},
                       blocks, shared_bytes, device, *call->workspace);
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    context->saved_data["is concise"] = W_hq.stride(0) == 1 && W_hq.stride(1) != 1;
    context->save_for_backward({h});
    return loss;
  }

  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& upstream) {
    const auto call =
        c10::static_intrusive_pointer_cast<OutputCall>(context->saved_data["call"].toCapsule());
    refuse_second_derivatives();
    if (!call->dh.defined()) {
      throw Error("a fused graph can be differentiated once; compute the loss again");
    }
    const auto h = context->get_saved_variables()[0];
    const auto dlogits = std::exchange(call->dlogits, {});
    const auto dh = std::exchange(call->dh, {});
    const auto db_q = std::exchange(call->db_q, {});
    at::_foreach_mul_({dlogits, dh, db_q}, upstream[0]);
    // As the weight lies in memory
    const bool is_concise = context->saved_data["is concise"].toBool();
    const auto weight_gradient = !context->needs_input_grad(1) ? torch::Tensor()
                                 : is_concise                  ? dlogits.t().mm(h).t()
                                                               : h.t().mm(dlogits);
    return {torch::Tensor(), dh, weight_gradient, db_q};
  }
};

}  // namespace

bool has_output_kernel(const CudaKernels& kernels, int64_t hidden, int64_t vocab_size,
                       torch::Device device) {
  // The most units for which the layout's sizes are far from overflowing
  constexpr int64_t kMostHidden = 1 << 16;
  return vocab_size <= cuda::kMostTokens && hidden <= kMostHidden &&
         cuda::output_layout(static_cast<int>(hidden), static_cast<int>(vocab_size)).end *
                 static_cast<int64_t>(sizeof(float)) <=
             kernels.limits(device).shared_bytes &&
         kernels.have({cuda::kOutputLayer}, device);
}

torch::Tensor loss_on_cuda(const CudaKernels& kernels, const torch::Tensor& h,
                           const torch::Tensor& W_hq, const torch::Tensor& b_q,
                           const torch::Tensor& labels,
                           const std::shared_ptr<Workspace>& workspace) {
  const auto call = c10::make_intrusive<OutputCall>();
  call->kernels = &kernels;
  call->workspace = workspace;
  call->labels = labels.contiguous();
  call->with_backward = wants_gradient({h, W_hq, b_q});
  return OutputLayer::apply(call, h, W_hq, b_q);
}

}  // namespace unroll
