#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "kernels/cuda/kernel_name.h"

namespace unroll::cuda {

/// Calls a kernel in the present fiber, with pointers to its parameters.
using EmulatedKernel = std::function<void(std::span<const void* const>)>;

/// Every kernel that a plan can ask for, by its name, compiled for the CPU.
const std::map<std::string, EmulatedKernel>& every_kernel();

}  // namespace unroll::cuda
