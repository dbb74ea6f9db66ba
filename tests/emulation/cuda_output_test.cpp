// The output layer and its loss by one kernel, here on the CPU, against LibTorch's operations.
#include "fused/cuda_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/functional/loss.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/formatted.h"
#include "emulation/emulated_driver.h"
#include "emulation/gpus.h"
#include "support/all_close.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;
using torch::Tensor;

class CudaOutput : public ::testing::Test {
 protected:
  void draw(int64_t R, int64_t H, int64_t V, bool is_transposed) {
    h_ = torch::randn({R, H}).requires_grad_();
    W_ = torch::randn(is_transposed ? at::IntArrayRef{V, H} : at::IntArrayRef{H, V})
             .mul_(0.5)
             .requires_grad_();
    b_ = torch::randn({V}).requires_grad_();
    W_hq_ = is_transposed ? W_.t() : W_;
    labels_ = torch::randint(V, {R}, torch::kInt64);
  }

  Tensor actual() const { return loss_on_cuda(kernels_, h_, W_hq_, b_, labels_); }
  Tensor expected() const {
    return torch::nn::functional::cross_entropy(torch::addmm(b_, h_, W_hq_), labels_);
  }

  void expect_same(double factor = 1) const {
    const auto mine = actual();
    const auto theirs = expected();
    EXPECT_NEAR(mine.item<double>(), theirs.item<double>(),
                1e-5 * std::max(1.0, theirs.item<double>()));
    const auto gradients = torch::autograd::grad({mine * factor}, {h_, W_, b_});
    const auto wanted = torch::autograd::grad({theirs * factor}, {h_, W_, b_});
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      EXPECT_TRUE(all_close(gradients[i], wanted[i], 1e-5)) << i;
    }
  }

  const EmulatedKernels kernels_{/*has_clusters=*/true, /*multiprocessors=*/3};
  Tensor h_, W_, b_, W_hq_, labels_;
};

TEST_F(CudaOutput, LossAndGradientsAreLibTorchs) {
  at::manual_seed(0);
  for (const int64_t R : {1, 8, 61}) {  // part of a tile, one, several of some blocks
    for (const int64_t V : {1, 9, 28, 33, 128}) {
      for (const bool is_transposed : {false, true}) {
        SCOPED_TRACE(formatted("R {}, V {}, transposed {}", R, V, is_transposed));
        draw(R, 21, V, is_transposed);
        expect_same();
      }
    }
  }
}

// Of which one finds room in a multiprocessor.
TEST_F(CudaOutput, ABlockMayHaveManyWeights) {
  const auto layout = cuda::output_layout(800, 28);
  EXPECT_EQ(cuda::output_blocks_each(layout, cuda::kH200.shared_bytes), 1);
  EXPECT_EQ(cuda::output_blocks_each(cuda::output_layout(512, 28), cuda::kH200.shared_bytes), 2);
  draw(30, 800, 28, false);
  expect_same();
}

TEST_F(CudaOutput, AGradientIsMultipliedByTheOneAbove) {
  draw(20, 40, 28, false);
  expect_same(/*factor=*/-2.5);
}

TEST_F(CudaOutput, LabelsMayBeLeftOut) {
  draw(20, 40, 28, true);
  labels_.slice(0, 0, 20, 3).fill_(-100);
  expect_same();
  labels_.fill_(-100);
  EXPECT_TRUE(std::isnan(actual().item<float>()));
}

// As a GPU's labels are not looked at before
TEST_F(CudaOutput, ALabelOfNoTokenShows) {
  draw(20, 4, 28, false);
  for (const int64_t bad : {28, -1}) {
    labels_[7] = bad;
    EXPECT_TRUE(std::isnan(actual().item<float>()));
  }
}

TEST_F(CudaOutput, WeightsMayBeFrozen) {
  draw(20, 4, 28, true);
  W_.requires_grad_(false);
  const auto gradients = torch::autograd::grad({actual()}, {h_, b_});
  const auto wanted = torch::autograd::grad({expected()}, {h_, b_});
  EXPECT_TRUE(all_close(gradients[0], wanted[0], 1e-5));
  EXPECT_TRUE(all_close(gradients[1], wanted[1], 1e-5));
}

TEST_F(CudaOutput, LargeLogitsDoNotOverflow) {
  draw(8, 4, 28, false);
  b_.data() += 1000 * torch::randn({28});
  expect_same();
}

TEST_F(CudaOutput, WhatIsNotFiniteShows) {
  for (const float bad : {NAN, INFINITY}) {
    draw(20, 4, 28, false);
    h_.data()[17][2] = bad;
    EXPECT_TRUE(std::isnan(actual().item<float>()));
  }
}

TEST_F(CudaOutput, IsDifferentiatedOnceOrNotAtAll) {
  draw(5, 4, 9, false);
  const auto loss = actual();
  loss.backward({}, /*keep_graph=*/true);
  EXPECT_THAT(thrown<Error>([&] { loss.backward(); }), HasSubstr("differentiated once"));
  const torch::NoGradGuard no_grad;
  const auto without = actual();
  EXPECT_FALSE(without.requires_grad());
  EXPECT_EQ(without.item<float>(), loss.item<float>());
}

TEST_F(CudaOutput, NeedsASmallVocabularyAndRoom) {
  const auto serves = [](const cuda::GpuLimits& limits, int64_t H, int64_t V) {
    return has_output_kernel(EmulatedKernels(limits), H, V, torch::kCPU);
  };
  EXPECT_TRUE(serves(cuda::kH200, 512, 28));
  EXPECT_TRUE(serves(cuda::kH200, 1024, 28));
  EXPECT_FALSE(serves(cuda::kH200, 2048, 28));
  EXPECT_FALSE(serves(cuda::kH200, 64, 129));
  EXPECT_TRUE(serves(cuda::kA100, 512, 28));
  EXPECT_FALSE(serves(cuda::kA100, 1024, 28));
  EXPECT_FALSE(serves(cuda::kH200, 1 << 20, 28));
}

}  // namespace
}  // namespace unroll
