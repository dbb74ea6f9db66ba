#include "train/gradients.h"

#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/vector_ops.h"
#include "unroll/optim.h"

namespace unroll {
namespace {

// One array of floats that the CPU's kernels can take as it lies in memory.
bool is_plain(const torch::Tensor& tensor) {
  return tensor.is_cpu() && tensor.scalar_type() == torch::kFloat32 && tensor.is_contiguous();
}

// Scales the gradients so that their norm is at most theta, if that is > 0; gives the norm before.
float clip_plain(const std::vector<torch::Tensor>& grads, double theta) {
  double squares = 0;
  for (const auto& grad : grads) {
    squares += cpu::sum_of_squares(grad.const_data_ptr<float>(), grad.numel());
  }
  const auto norm = static_cast<float>(std::sqrt(squares));
  const float factor = static_cast<float>(theta) / norm;
  if (theta > 0 && !(factor >= 1)) {
    for (const auto& grad : grads) {
      cpu::scale(factor, grad.mutable_data_ptr<float>(), grad.numel());
    }
  }
  return norm;
}

}  // namespace

void descend(const torch::Tensor& p, double lr) {
  const auto& grad = p.grad();
  if (!is_plain(p) || !is_plain(grad)) {
    p.sub_(grad, lr);
    return;
  }
  cpu::subtract_scaled(grad.const_data_ptr<float>(), static_cast<float>(lr),
                       p.mutable_data_ptr<float>(), p.numel());
  torch::autograd::impl::bump_version(p);
}

NamedTensors trained_weights(const SequenceModel& net) {
  auto weights = net.weights();
  std::erase_if(weights, [](const NamedTensor& weight) { return !weight.tensor.requires_grad(); });
  return weights;
}

std::vector<torch::Tensor> gradients(const std::vector<torch::Tensor>& params) {
  std::vector<torch::Tensor> grads;
  for (const auto& p : params) {
    if (p.grad().defined()) {
      grads.push_back(p.grad());
    }
  }
  return grads;
}

torch::Tensor clip_on_device(const std::vector<torch::Tensor>& grads, double theta) {
  auto norm = torch::stack(torch::_foreach_norm(grads)).norm();
  if (theta > 0) {
    torch::_foreach_mul_(grads, (theta / norm).clamp_max(1.0));
  }
  return norm;
}

void sgd(const std::vector<torch::Tensor>& params, double lr, int64_t batch_size) {
  const torch::NoGradGuard no_grad;
  for (const auto& p : params) {
    if (p.grad().defined()) {
      descend(p, lr / static_cast<double>(batch_size));
      p.grad().zero_();
    }
  }
}

torch::Tensor grad_clipping(const std::vector<torch::Tensor>& params, double theta) {
  const torch::NoGradGuard no_grad;
  const auto grads = gradients(params);
  if (grads.empty()) {
    return torch::zeros({});
  }
  if (std::all_of(grads.begin(), grads.end(), is_plain)) {
    return torch::scalar_tensor(clip_plain(grads, theta), torch::kFloat32);
  }
  return clip_on_device(grads, theta);
}

torch::Tensor grad_clipping(const SequenceModel& net, double theta) {
  return grad_clipping(values(trained_weights(net)), theta);
}

}  // namespace unroll
