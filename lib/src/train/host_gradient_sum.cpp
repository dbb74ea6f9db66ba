#include "train/host_gradient_sum.h"

#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <utility>

#include "kernels/cpu/softmax.h"
#include "ranks/or_alone.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// A bucket is full from so many bytes on; smaller ones make more messages. Two layers of 512 units
// over 1 Gbit/s: with 4 MiB all gradients wait for the last one, with 1 MiB most travel during the
// backward pass, and training is 1.19 times as fast. Over the loopback interface that costs 1 %
// there, and with one layer nothing (scripts/bench_ranks --batch-size 64 --hidden 512 --layers 2).
constexpr int64_t kBucketBytes = int64_t{1} << 20;

// Gradients travel times their rank's labels in this unit, as all ranks' labels are not known yet:
// not many times as large as they are, for weights in float16.
constexpr double kLabelsOfAUnit = 1024;

}  // namespace

HostGradientSum::HostGradientSum(std::shared_ptr<Ranks> ranks,
                                 const std::vector<torch::Tensor>& params)
    : ranks_(or_alone(std::move(ranks))), exchange_(ranks_) {
  if (!is_alone()) {
    make_buckets(params);
  }
}

GradientCallback HostGradientSum::on_gradient() {
  if (is_alone()) {
    return {};
  }
  return [this](const torch::Tensor& param, const torch::Tensor& gradient) {
    take_early(param, gradient);
  };
}

void HostGradientSum::make_buckets(std::vector<torch::Tensor> params) {
  std::ranges::reverse(params);
  int64_t bytes = 0;  // of the last bucket
  for (const auto& param : params) {
    const auto fits = [&](const torch::Tensor& other) {
      return other.dtype() == param.dtype() && other.device() == param.device();
    };
    if (buckets_.empty() || !fits(buckets_.back().parts.back().param) || bytes >= kBucketBytes) {
      buckets_.emplace_back();
      bytes = 0;
    }
    buckets_.back().parts.push_back({.param = param, .slice = {}});
    bytes += static_cast<int64_t>(param.nbytes());
  }
  for (auto& [parts, flat, wait] : buckets_) {
    int64_t size = 0;
    for (const auto& part : parts) {
      size += part.param.numel();
    }
    flat = torch::zeros({size}, parts.front().param.options().requires_grad(false));
    int64_t begin = 0;
    for (auto& [param, slice, is_filled] : parts) {
      slice = flat.narrow(0, begin, param.numel()).view(param.sizes());
      begin += param.numel();
    }
  }
}

void HostGradientSum::begin(const torch::Tensor& loss, const torch::Tensor& labels) {
  own_ = {.loss = loss.detach(), .tokens = labels.numel()};
  if (is_alone()) {
    return;
  }
  if (is_open_) {
    throw RankLost("an earlier step ended before its gradients were those of all ranks");
  }
  labels_ = static_cast<double>(labels.ne(cpu::kIgnoredLabel).sum().item<int64_t>());
  exchange_.start({.loss = labels_ > 0 ? labels_ * own_.loss.item<double>() : 0,
                   .labels = labels_,
                   .tokens = own_.tokens});
  for (auto& bucket : buckets_) {
    for (auto& part : bucket.parts) {
      part.is_filled = false;
    }
  }
  started_ = 0;
  is_open_ = true;
}

void HostGradientSum::fill(Part& part, const torch::Tensor& gradient) const {
  // The gradients of a loss over no label are not numbers.
  if (gradient.defined() && labels_ > 0) {
    torch::mul_out(part.slice, gradient,
                   torch::scalar_tensor(labels_ / kLabelsOfAUnit, gradient.options()));
  } else {
    part.slice.zero_();
  }
  part.is_filled = true;
}

void HostGradientSum::start_filled() {
  while (started_ < buckets_.size() &&
         std::ranges::all_of(buckets_[started_].parts, &Part::is_filled)) {
    auto& bucket = buckets_[started_++];
    bucket.wait = ranks_->start_all_reduce(bucket.flat);
  }
}

void HostGradientSum::take_early(const torch::Tensor& param, const torch::Tensor& gradient) {
  // A hook may change the gradient before it is the parameter's, which may not take it at all.
  if (!is_open_ || !param.requires_grad() || !torch::autograd::impl::hooks(param).empty()) {
    return;
  }
  for (auto& bucket : buckets_) {
    for (auto& part : bucket.parts) {
      if (part.param.is_same(param)) {
        if (part.is_filled) {
          throw Error("a model reported the gradient by one of its weights twice");
        }
        fill(part, gradient);
        start_filled();
        return;
      }
    }
  }
}

WholeBatch HostGradientSum::finish() {
  if (is_alone()) {
    return own_;
  }
  const torch::NoGradGuard no_grad;
  is_open_ = false;
  for (auto& bucket : buckets_) {
    for (auto& part : bucket.parts) {
      if (!part.is_filled) {
        fill(part, part.param.grad());
      }
    }
    start_filled();
  }
  const auto whole = exchange_.finish();
  for (const auto& bucket : buckets_) {
    bucket.wait();
    for (const auto& part : bucket.parts) {
      if (auto& grad = part.param.mutable_grad(); grad.defined()) {
        torch::mul_out(grad, part.slice,
                       torch::scalar_tensor(kLabelsOfAUnit / whole.labels, grad.options()));
      }
    }
  }
  const auto loss = torch::full_like(own_.loss, whole.loss / whole.labels, own_.loss.options());
  return {.loss = loss, .tokens = whole.tokens};
}

}  // namespace unroll
