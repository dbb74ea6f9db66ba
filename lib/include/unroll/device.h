#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#pragma GCC visibility push(default)
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

/// What becomes of kernels for a GPU, which are compiled when a model first needs them.
struct KernelSettings {
  /// The folder where they are kept for the next program, which is made if need be; empty: nowhere.
  /// It is read only if the user owns it and nobody else can write it.
  std::filesystem::path cache = {};
  /// Called, by any thread, with a line of text when compiling takes longer than a second, or when
  /// what was kept cannot be used. It must not call this library.
  std::function<void(const std::string&)> notice = {};
};

/// For all models, from the first on that is made for a GPU after this. Without it nothing is kept.
void set_kernel_settings(KernelSettings settings);

/// `cpu` or `cuda:0`.
std::string describe(const torch::Device& device);

}  // namespace unroll
#pragma GCC visibility pop
