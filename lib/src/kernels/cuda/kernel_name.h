#pragma once

#include <string>

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/plan.h"

namespace unroll::cuda {

/// What a kernel does with all time steps.
enum class Work { kForward, kBackward, kGenerate };

/// The way that it plans for: a continuation goes forward.
constexpr Way way_of(Work work) { return work == Work::kBackward ? Way::kBackward : Way::kForward; }

/// The kernel of kernels.h that a plan asks for, as C++ names it, with its template's arguments.
std::string kernel_name(const Plan& plan, CellKind cell, Work work);

// Those that need no plan, likewise.
inline constexpr const char* kNoWork = "unroll::cuda::no_work";
inline constexpr const char* kCutBatch = "unroll::cuda::cut_batch<unroll::cuda::BatchArguments>";
inline constexpr const char* kCopyMatrices =
    "unroll::cuda::copy_matrices<unroll::cuda::CopyArguments>";
inline constexpr const char* kSumByToken =
    "unroll::cuda::sum_by_token<unroll::cuda::TokenSumsArguments>";
inline constexpr const char* kOutputLayer =
    "unroll::cuda::output_layer<unroll::cuda::OutputArguments>";
inline constexpr const char* kNormOfGradients =
    "unroll::cuda::norm_of_gradients<unroll::cuda::NormArguments>";

/// update_weights, likewise.
constexpr const char* update_kernel(UpdateRule rule) {
  return rule == UpdateRule::kSgd ? "unroll::cuda::update_weights<unroll::cuda::UpdateRule::kSgd>"
         : rule == UpdateRule::kAdam
             ? "unroll::cuda::update_weights<unroll::cuda::UpdateRule::kAdam>"
             : "unroll::cuda::update_weights<unroll::cuda::UpdateRule::kAdamW>";
}

}  // namespace unroll::cuda
