#pragma once

#include <ATen/Context.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "fused/computed_model.h"
#include "support/model_configs.h"
#include "support/random_values.h"
#include "unroll/compute.h"

namespace unroll {

inline std::string to_text(const Shape& shape) {
  return formatted("B {} T {} V {} H {}", shape.B, shape.T, shape.V, shape.H);
}

inline State random_state(const SequenceModel& net, int64_t B) {
  auto state = net.begin_state(B);
  for (auto& s : state) {
    s = (torch::randn_like(s) * 0.5).requires_grad_();
  }
  return state;
}

class Fused : public ::testing::TestWithParam<TestModel> {
 protected:
  // A model computed plain, and one with the same weights computed fused.
  std::unique_ptr<SequenceModel> plain_;
  std::unique_ptr<SequenceModel> fused_;

  void make(const Shape& shape, Precision precision = Precision::kFp32) {
    auto model = GetParam();
    model.hidden = shape.H;
    plain_ = make_model(model, shape.V, torch::kCPU);
    draw_weights(*plain_);
    auto other = make_model(model, shape.V, torch::kCPU);
    load_weights(*other, plain_->weights());
    const Compute compute{.backend = Backend::kFused, .precision = precision};
    fused_ = computed_as(std::move(other), model, compute);
    ASSERT_EQ(fused_->effective_compute(shape.B).backend, Backend::kFused);
    ASSERT_EQ(plain_->effective_compute(shape.B).backend, Backend::kPlain);
  }

  // The fused model's loss, state and gradients on so many threads.
  std::vector<torch::Tensor> results(const Batch& batch, int threads) {
    const int before = torch::get_num_threads();
    torch::set_num_threads(threads);
    for (const auto& [name, weight] : fused_->weights()) {
      weight.mutable_grad().reset();
    }
    at::manual_seed(17);
    const auto [loss, after] = fused_->loss(batch, fused_->begin_state(batch.X.size(0)));
    loss.backward();
    torch::set_num_threads(before);
    std::vector<torch::Tensor> result{loss.detach(), after[0].detach()};
    for (const auto& [name, weight] : fused_->weights()) {
      result.push_back(weight.grad());
    }
    return result;
  }

  void expect_same_bits_whatever_the_threads(const Batch& batch) {
    const auto one = results(batch, 1);
    for (const int threads : {2, 3}) {
      const auto more = results(batch, threads);
      for (std::size_t i = 0; i < one.size(); ++i) {
        EXPECT_TRUE(torch::equal(more[i], one[i])) << threads << " threads, tensor " << i;
      }
    }
  }

  void expect_same_gradients(double tolerance) const {
    const auto expected = plain_->weights();
    const auto actual = fused_->weights();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LT(distance(actual[i].tensor.grad(), expected[i].tensor.grad()), tolerance)
          << expected[i].name;
    }
  }

  // What `use` returns where it draws what every other one does; also how far it drew.
  template <typename Use>
  static auto drawn(const Use& use) {
    auto generator = at::globalContext().defaultGenerator(torch::kCPU);
    const auto before = generator.get_state();
    at::manual_seed(23);
    auto result = use();
    const auto next = torch::rand({1}).item<float>();
    generator.set_state(before);
    return std::pair(std::move(result), next);
  }

  // The plain model's and the fused one's loss, states after the batch and gradients. The states
  // take part in the gradient, as where a sequence goes on.
  void expect_the_same(const Shape& shape, double loss_tolerance, double tolerance) {
    const auto batch = random_batch(shape);
    const auto state = random_state(*plain_, shape.B);
    State fused_state;
    for (const auto& s : state) {
      fused_state.push_back(s.detach().clone().requires_grad_());
    }
    const auto [expected, drew] = drawn([&] { return plain_->loss(batch, state); });
    const auto [actual, fused_drew] = drawn([&] { return fused_->loss(batch, fused_state); });
    EXPECT_EQ(fused_drew, drew);
    const auto loss = expected.first.item<double>();
    EXPECT_NEAR(actual.first.item<double>(), loss, loss_tolerance * (1 + loss));
    auto total = expected.first;
    auto fused_total = actual.first;
    for (std::size_t i = 0; i < state.size(); ++i) {
      EXPECT_LT(distance(actual.second[i], expected.second[i]), tolerance) << "state " << i;
      total = total + 0.1 * expected.second[i].square().sum();
      fused_total = fused_total + 0.1 * actual.second[i].square().sum();
    }
    total.backward();
    fused_total.backward();
    expect_same_gradients(tolerance);
    for (std::size_t i = 0; i < state.size(); ++i) {
      EXPECT_LT(distance(fused_state[i].grad(), state[i].grad()), tolerance) << "state " << i;
    }
  }
};

// Of the float32 sums themselves; the bound.
inline constexpr double kTolerance = 1e-5;

// What a precision is held to, as norm of the difference over norm.
inline double tolerance_of(Precision precision) {
  return precision == Precision::kBf16 ? 2e-2 : 1e-4;
}

}  // namespace unroll
