#pragma once

#include <torch/types.h>

#include <functional>
#include <string>

#include "cli/options.h"
#include "unroll/compute.h"

namespace unroll::app {

/// Throws UsageError when --device or --threads is wrong in itself; touches no device.
void check_machine_options(const Options& options);

/// Products of float32 are taken in float32: LibTorch's and cuDNN's would be in TF32, with 10 bits
/// of mantissa, on a GPU that has it.
void forbid_tf32();

/// Sets the number of threads, forbids TF32, and returns the device.
torch::Device set_up_machine(const Options& options);

/// Whether a fused model is to use its kernels on this device: where --model asks for it by name,
/// or its precision is bf16, and there are any. Calls `warn` with the reason where there are none;
/// throws Error for bf16, which they alone have there.
bool wants_cuda_kernels(const Options& options, Precision precision, torch::Device device,
                        const std::function<void(const std::string&)>& warn);

}  // namespace unroll::app
