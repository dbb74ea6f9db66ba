#include "train/gradient_sum.h"

#include <array>
#include <utility>

#include "kernels/cpu/softmax.h"
#include "ranks/or_alone.h"

namespace unroll {
namespace {

// Bytes of a bucket, unless one parameter has more. Smaller ones cost more messages: of 100 KiB
// they were no faster (512 units, two ranks). Larger ones are filled for longer before any travels.
constexpr int64_t kBucketBytes = int64_t{4} << 20;

// The places of what travels beside the gradients.
enum Sum { kLoss, kLabels, kTokens, kSaves, kStops, kSums };

}  // namespace

GradientSum::GradientSum(std::shared_ptr<Ranks> ranks, std::vector<torch::Tensor> params)
    : ranks_(or_alone(std::move(ranks))), params_(std::move(params)) {
  if (!is_alone()) {
    make_buckets();
  }
}

void GradientSum::make_buckets() {
  int64_t bytes = 0;  // of the last bucket
  for (const auto& param : params_) {
    const auto own = static_cast<int64_t>(param.nbytes());
    const auto fits = [&](const torch::Tensor& other) {
      return other.dtype() == param.dtype() && other.device() == param.device();
    };
    if (buckets_.empty() || !fits(buckets_.back().params.back()) || bytes + own > kBucketBytes) {
      buckets_.emplace_back();
      bytes = 0;
    }
    buckets_.back().params.push_back(param);
    bytes += own;
  }
  for (auto& bucket : buckets_) {
    int64_t size = 0;
    for (const auto& param : bucket.params) {
      size += param.numel();
    }
    bucket.flat = torch::zeros({size}, bucket.params.front().options().requires_grad(false));
    int64_t begin = 0;
    for (const auto& param : bucket.params) {
      bucket.slices.push_back(bucket.flat.narrow(0, begin, param.numel()).view(param.sizes()));
      begin += param.numel();
    }
  }
}

void GradientSum::begin(const torch::Tensor& loss, const torch::Tensor& labels) {
  own_ = {.loss = loss.detach(), .tokens = labels.numel()};
  if (is_alone()) {
    return;
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
}

void GradientSum::fill(const Bucket& bucket, double share) const {
  for (std::size_t i = 0; i < bucket.params.size(); ++i) {
    auto slice = bucket.slices[i];
    const auto& grad = bucket.params[i].grad();
    // The gradients of a loss over no label are not numbers.
    if (grad.defined() && share > 0) {
      torch::mul_out(slice, grad, torch::scalar_tensor(share, grad.options()));
    } else {
      slice.zero_();
    }
  }
}

WholeBatch GradientSum::finish() {
  if (is_alone()) {
    return own_;
  }
  const torch::NoGradGuard no_grad;
  wait_for_sums_();
  const auto* sums = sums_.const_data_ptr<double>();
  ranks_->set_asked(sums[kStops] > 0   ? Request::kStop
                    : sums[kSaves] > 0 ? Request::kSave
                                       : Request::kNone);
  std::vector<Ranks::Wait> waits;
  waits.reserve(buckets_.size());
  for (const auto& bucket : buckets_) {
    fill(bucket, labels_ / sums[kLabels]);
    waits.push_back(ranks_->start_all_reduce(bucket.flat));
  }
  for (std::size_t k = 0; k < buckets_.size(); ++k) {
    waits[k]();
    for (std::size_t i = 0; i < buckets_[k].params.size(); ++i) {
      auto& grad = buckets_[k].params[i].mutable_grad();
      if (grad.defined()) {
        grad.copy_(buckets_[k].slices[i]);
      }
    }
  }
  const auto loss = torch::full_like(own_.loss, sums[kLoss] / sums[kLabels], own_.loss.options());
  return {.loss = loss, .tokens = static_cast<int64_t>(sums[kTokens])};
}

}  // namespace unroll
