#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <string_view>

namespace unroll {

/// Loads LibTorch's CUDA part if there is a driver. Returns whether a CUDA device can be used.
///
/// The library is linked against LibTorch's CPU part only, so that one binary serves machines with
/// and without a GPU. Call this (or try_gpu, or parse_device) before the first tensor is made:
/// LibTorch looks for its CUDA part once.
bool cuda_is_available();

/// The first GPU if there is one, else the CPU.
torch::Device try_gpu();

/// The device that `name` stands for: `auto` (as try_gpu), `cpu`, `cuda` or `cuda:N`.
/// Throws UsageError for any other name, Error if the machine has no such device.
torch::Device parse_device(std::string_view name);

/// What is called with a line of text when kernels for a GPU take longer than a second to compile,
/// or when what was compiled before cannot be used; nothing at first. By any thread, one at a time.
void on_kernel_notice(std::function<void(const std::string&)> callback);

/// `cpu` or `cuda:0`.
std::string describe(const torch::Device& device);

}  // namespace unroll
