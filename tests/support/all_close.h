#pragma once

#include <gtest/gtest.h>
#include <torch/types.h>

namespace unroll {

/// Whether two tensors have one shape and differ by at most `tolerance` in every element.
inline ::testing::AssertionResult all_close(const torch::Tensor& actual,
                                            const torch::Tensor& expected, double tolerance) {
  if (actual.sizes() != expected.sizes()) {
    return ::testing::AssertionFailure()
           << "shape " << actual.sizes() << ", expected " << expected.sizes();
  }
  if (actual.numel() == 0) {
    return ::testing::AssertionSuccess();
  }
  const torch::NoGradGuard no_grad;
  const auto difference = (actual.cpu() - expected.cpu()).abs().max().item<double>();
  if (!(difference <= tolerance)) {
    return ::testing::AssertionFailure() << "differ by " << difference << " > " << tolerance;
  }
  return ::testing::AssertionSuccess();
}

}  // namespace unroll
