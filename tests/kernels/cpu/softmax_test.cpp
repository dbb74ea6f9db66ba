#include "kernels/cpu/softmax.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/each_target.h"

namespace unroll::cpu {
namespace {

using Softmax = EachTarget;

TEST_P(Softmax, CrossEntropyAndItsGradientAreThePlainOnes) {
  for (const auto& [V, rows] :
       {std::pair{1, 5}, {2, 5}, {15, 33}, {16, 34}, {17, 5}, {64, 71}, {65, 5}, {200, 5}}) {
    for (const float offset : {0.0F, 1000.0F, -1000.0F}) {
      SCOPED_TRACE(::testing::Message() << "V " << V << " offset " << offset);
      const int64_t count = rows;
      auto logits = panels(count, V, kPanel, offset == 0 ? kBlock : kPanel);
      std::vector<int64_t> labels;
      for (int64_t r = 0; r < count; ++r) {
        labels.push_back(draw(0, 4) == 0 ? kIgnoredLabel : draw(0, V - 1));
        for (int64_t v = 0; v < V; ++v) {
          *logits.at(r, v) = *logits.at(r, v) * 10 + offset;
        }
      }
      std::vector<double> expected(count * V);
      double expected_loss = 0;
      for (int64_t r = 1; r < count; ++r) {
        if (labels[r] == kIgnoredLabel) {
          continue;
        }
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
      const double loss = softmax_cross_entropy(logits, 1, count, labels.data(), 0.25F);
      EXPECT_NEAR(loss, expected_loss, 1e-5 * (1 + expected_loss));
      EXPECT_EQ(*logits.at(0, 0), untouched);
      for (int64_t r = 1; r < count; ++r) {
        for (int64_t v = 0; v < V; ++v) {
          EXPECT_NEAR(*logits.at(r, v), expected[r * V + v], 1e-6);
        }
      }
    }
  }
}

TEST_P(Softmax, ManyEqualLogitsAreAsManyLogarithms) {
  constexpr int64_t kRows = 64;
  constexpr int64_t kVocab = 2000;
  auto logits = panels(kRows, kVocab);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t v = 0; v < kVocab; ++v) {
      *logits.at(r, v) = 3;
    }
  }
  const std::vector<int64_t> labels(kRows, 7);
  EXPECT_NEAR(softmax_cross_entropy(logits, 0, kRows, labels.data(), 1), kRows * std::log(2000.0),
              1e-4);
}

TEST_P(Softmax, WhatIsNotFiniteStaysVisible) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const int64_t v : {0, 3, 20}) {
      auto logits = panels(40, 21);
      *logits.at(20, v) = bad;
      const std::vector<int64_t> labels(40, 1);
      EXPECT_FALSE(std::isfinite(softmax_cross_entropy(logits, 0, 40, labels.data(), 1)))
          << bad << " " << v;
    }
  }
}

UNROLL_EACH_TARGET(Softmax);

}  // namespace
}  // namespace unroll::cpu
