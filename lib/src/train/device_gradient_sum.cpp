#include "train/device_gradient_sum.h"

#include "kernels/cpu/softmax.h"
#include "ranks/count_ranks.h"

namespace unroll {
namespace {

// All gradients, the loss and a one: each of these is a mean over the labels. At least in float32.
torch::Tensor row_of(const std::vector<torch::Tensor>& params, const torch::Tensor& loss) {
  std::vector<torch::Tensor> parts;
  for (const auto& param : params) {
    const auto& grad = param.grad();
    parts.push_back((grad.defined() ? grad : torch::zeros_like(param)).reshape(-1));
  }
  parts.push_back(loss.to(torch::promote_types(loss.scalar_type(), torch::kFloat32)).view(1));
  parts.push_back(torch::ones_like(parts.back()));
  return torch::cat(parts);
}

}  // namespace

torch::Tensor DeviceGradientSum::zero_row(const std::vector<torch::Tensor>& params) {
  auto type = torch::kFloat32;
  int64_t size = 2;
  for (const auto& param : params) {
    type = torch::promote_types(type, param.scalar_type());
    size += param.numel();
  }
  return torch::zeros({size}, torch::dtype(type).device(params.front().device()));
}

void DeviceGradientSum::before_step(int64_t tokens) {
  exchange_.start({.tokens = tokens});
  whole_ = exchange_.finish();
}

void DeviceGradientSum::begin(const torch::Tensor& loss, const torch::Tensor& labels) {
  loss_ = loss.detach();
  labels_ = labels.ne(cpu::kIgnoredLabel).sum();
}

WholeBatch DeviceGradientSum::finish() {
  const torch::NoGradGuard no_grad;
  const auto row = row_of(params_, loss_);
  // A loss over no label and its gradients are not numbers.
  row.mul_(labels_).masked_fill_(labels_ == 0, 0);
  sum_->all_reduce(row);
  row.div_(row[-1].clone());
  int64_t begin = 0;
  for (const auto& param : params_) {
    if (auto& grad = param.mutable_grad(); grad.defined()) {
      grad.copy_(row.narrow(0, begin, param.numel()).view(param.sizes()));
    }
    begin += param.numel();
  }
  return {.loss = row[begin].to(loss_.scalar_type()), .tokens = whole_.tokens};
}

void DeviceGradientSum::after_step() {
  sum_->end_step();
  is_waited_ = false;
  // What was asked for is done next, and reads the device.
  if (whole_.asked != Request::kNone) {
    wait();
  }
}

void DeviceGradientSum::wait() {
  if (!is_waited_) {
    sum_->wait();
    // What ended now would take away what another device still reads.
    wait_for_all(*ranks_);
    is_waited_ = true;
  }
}

bool DeviceGradientSum::all_agree(bool own) { return count_ranks(*ranks_, !own) == 0; }

}  // namespace unroll
