#include "train/gradient_sum.h"

#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <array>
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

// The places of what travels beside the gradients.
enum Sum { kLoss, kLabels, kTokens, kSaves, kStops, kSums };

}  // namespace

GradientSum::GradientSum(std::shared_ptr<Ranks> ranks, const std::vector<torch::Tensor>& params)
    : ranks_(or_alone(std::move(ranks))) {
  if (!is_alone()) {
    make_buckets(params);
  }
}

GradientCallback GradientSum::on_gradient() {
  if (is_alone()) {
    return {};
  }
  return [this](const torch::Tensor& param, const torch::Tensor& gradient) {
    take_early(param, gradient);
  };
}

void GradientSum::make_buckets(std::vector<torch::Tensor> params) {
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

void GradientSum::begin(const torch::Tensor& loss, const torch::Tensor& labels) {
  own_ = {.loss = loss.detach(), .tokens = labels.numel()};
  if (is_alone()) {
    return;
  }
  if (is_open_) {
    throw RankLost("an earlier step ended before its gradients were those of all ranks");
  }
  const auto request = ranks_->take_request();
  labels_ = static_cast<double>(labels.ne(cpu::kIgnoredLabel).sum().item<int64_t>());
  std::array<double, kSums> sums{};
  sums[kLoss] = labels_ > 0 ? labels_ * own_.loss.item<double>() : 0;
  sums[kLabels] = labels_;
  sums[kTokens] = static_cast<double>(own_.tokens);
  sums[kSaves] = request == Request::kSave ? 1 : 0;
  sums[kStops] = request == Request::kStop ? 1 : 0;
  sums_ = torch::tensor(torch::ArrayRef<double>(sums), torch::kFloat64);
  wait_for_sums_ = ranks_->start_all_reduce(sums_);
  for (auto& bucket : buckets_) {
    for (auto& part : bucket.parts) {
      part.is_filled = false;
    }
  }
  started_ = 0;
  is_open_ = true;
}

void GradientSum::fill(Part& part, const torch::Tensor& gradient) const {
  // The gradients of a loss over no label are not numbers.
  if (gradient.defined() && labels_ > 0) {
    torch::mul_out(part.slice, gradient,
                   torch::scalar_tensor(labels_ / kLabelsOfAUnit, gradient.options()));
  } else {
    part.slice.zero_();
  }
  part.is_filled = true;
}

void GradientSum::start_filled() {
  while (started_ < buckets_.size() &&
         std::ranges::all_of(buckets_[started_].parts, &Part::is_filled)) {
    auto& bucket = buckets_[started_++];
    bucket.wait = ranks_->start_all_reduce(bucket.flat);
  }
}

void GradientSum::take_early(const torch::Tensor& param, const torch::Tensor& gradient) {
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

WholeBatch GradientSum::finish() {
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
  wait_for_sums_();
  const auto* sums = sums_.const_data_ptr<double>();
  ranks_->set_asked(sums[kStops] > 0   ? Request::kStop
                    : sums[kSaves] > 0 ? Request::kSave
                                       : Request::kNone);
  for (const auto& bucket : buckets_) {
    bucket.wait();
    for (const auto& part : bucket.parts) {
      if (auto& grad = part.param.mutable_grad(); grad.defined()) {
        torch::mul_out(grad, part.slice,
                       torch::scalar_tensor(kLabelsOfAUnit / sums[kLabels], grad.options()));
      }
    }
  }
  const auto loss = torch::full_like(own_.loss, sums[kLoss] / sums[kLabels], own_.loss.options());
  return {.loss = loss, .tokens = static_cast<int64_t>(sums[kTokens])};
}

}  // namespace unroll
