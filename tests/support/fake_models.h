#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "unroll/model.h"

namespace unroll {

/// Says that each token is followed by the next of the vocabulary, and keeps what it was fed.
class Successor : public SequenceModel {
 public:
  explicit Successor(int64_t vocab_size) : vocab_size_(vocab_size) {}

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
    EXPECT_EQ(X.sizes(), (std::vector<int64_t>{1, 1}));
    EXPECT_EQ(X.scalar_type(), torch::kInt64);
    EXPECT_FALSE(torch::GradMode::is_enabled());
    EXPECT_EQ(state.at(0).item<int64_t>(), static_cast<int64_t>(fed.size()));
    fed.push_back(X.item<int64_t>());
    return {torch::one_hot((X.flatten() + 1) % vocab_size_, vocab_size_), {state[0] + 1}};
  }
  State begin_state(int64_t batch_size) const override {
    EXPECT_EQ(batch_size, 1);
    return {torch::zeros({}, torch::kInt64)};
  }
  int64_t vocab_size() const override { return vocab_size_; }
  NamedTensors weights() const override { return {}; }
  torch::Device device() const override { return torch::kCPU; }

  std::vector<int64_t> fed;

 private:
  int64_t vocab_size_;
};

/// Has the same logits for whatever comes, in any batch.
class Constant : public SequenceModel {
 public:
  explicit Constant(const std::vector<float>& logits) : logits_(torch::tensor(logits)) {}

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
    return {logits_.expand({X.numel(), -1}).contiguous(), state};
  }
  State begin_state(int64_t batch_size) const override { return {torch::zeros({batch_size})}; }
  int64_t vocab_size() const override { return logits_.numel(); }
  NamedTensors weights() const override { return {}; }
  torch::Device device() const override { return torch::kCPU; }

 private:
  torch::Tensor logits_;
};

}  // namespace unroll
