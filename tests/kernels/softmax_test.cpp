#include "kernels/cpu/softmax.h"

#include <cmath>
#include <limits>

#include "each_target.h"

namespace unroll::cpu {
namespace {

using Softmax = EachTarget;

TEST_P(Softmax, CrossEntropyAndItsGradientAreThePlainOnes) {
  for (const int64_t V : {1, 2, 15, 16, 17, 64, 65, 200}) {
    for (const float offset : {0.0F, 1000.0F, -1000.0F}) {
      SCOPED_TRACE(::testing::Message() << "V " << V << " offset " << offset);
      constexpr int64_t kRows = 5;
      auto logits = panels(kRows, V);
      std::vector<int64_t> labels;
      for (int64_t r = 0; r < kRows; ++r) {
        labels.push_back(draw(0, V - 1));
        for (int64_t v = 0; v < V; ++v) {
          *logits.at(r, v) = *logits.at(r, v) * 10 + offset;
        }
      }
      std::vector<double> expected(kRows * V);
      double expected_loss = 0;
      for (int64_t r = 1; r < kRows; ++r) {
        double sum = 0;
        for (int64_t v = 0; v < V; ++v) {
          sum += std::exp(static_cast<double>(*logits.at(r, v)) - offset);
        }
        for (int64_t v = 0; v < V; ++v) {
          const double probability = std::exp(static_cast<double>(*logits.at(r, v)) - offset) / sum;
          expected[r * V + v] = 0.25 * (probability - (v == labels[r] ? 1 : 0));
        }
        expected_loss += std::log(sum) - (static_cast<double>(*logits.at(r, labels[r])) - offset);
      }
      const float untouched = *logits.at(0, 0);
      const double loss = softmax_cross_entropy(logits, 1, kRows, labels.data(), 0.25F);
      EXPECT_NEAR(loss, expected_loss, 1e-5 * (1 + expected_loss));
      EXPECT_EQ(*logits.at(0, 0), untouched);
      for (int64_t r = 1; r < kRows; ++r) {
        for (int64_t v = 0; v < V; ++v) {
          EXPECT_NEAR(*logits.at(r, v), expected[r * V + v], 1e-6);
        }
      }
    }
  }
}

TEST_P(Softmax, WhatIsNotFiniteStaysVisible) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const int64_t v : {0, 3, 20}) {
      auto logits = panels(1, 21);
      *logits.at(0, v) = bad;
      const int64_t label = 1;
      EXPECT_FALSE(std::isfinite(softmax_cross_entropy(logits, 0, 1, &label, 1)))
          << bad << " " << v;
    }
  }
}

UNROLL_EACH_TARGET(Softmax);

}  // namespace
}  // namespace unroll::cpu
