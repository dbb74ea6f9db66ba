#pragma once

#include <string>

#include "kernels/cuda/plan.h"

namespace unroll::cuda {

/// What a kernel does with all time steps.
enum class Work { kForward, kBackward, kGenerate };

/// The way that it plans for: a continuation goes forward.
constexpr Way way_of(Work work) { return work == Work::kBackward ? Way::kBackward : Way::kForward; }

/// The kernel of kernels.h that a plan asks for, as C++ names it, with its template's arguments.
std::string kernel_name(const Plan& plan, CellKind cell, Work work);

/// no_work, likewise.
inline constexpr const char* kNoWork = "unroll::cuda::no_work";

}  // namespace unroll::cuda
