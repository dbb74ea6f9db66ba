#pragma once

#include <functional>
#include <string>

#include "unroll/error.h"  // what its functions throw

namespace unroll {

/// The machine code of one kernel.
struct CompiledKernel {
  std::string name;  ///< what the kernel is called in the code
  std::string code;  ///< for one kind of GPU, or PTX, which a driver compiles for later ones
};

/// Compiles a kernel, named as kernel_name does, for GPUs of a compute capability: 90 for 9.0.
/// Throws Error when it cannot.
using CompileKernel = std::function<CompiledKernel(const std::string& name, int capability)>;

}  // namespace unroll
