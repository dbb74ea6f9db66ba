#pragma once

#include <string>

#include "cuda_part/compiled_kernel.h"

namespace unroll {

/// NVIDIA's compiler at run time, which comes with LibTorch's CUDA wheels. Safe to call from
/// several threads at once.
class Nvrtc {
 public:
  /// Loads it: the one that LibTorch has, else any that the system finds. Throws Error, which says
  /// what is missing, if there is none or it is too old.
  Nvrtc();

  /// What compile() gives it besides the kernels' sources, as a text.
  static std::string settings();

  /// As in "13.2".
  const std::string& version() const { return version_; }

  /// What it compiles for, for GPUs of a compute capability: "sm_90" for 90; of what it does not
  /// know yet the PTX of the last one before, as in "compute_90".
  std::string target(int capability) const;

  /// Compiles a kernel, named as kernel_name does, for such a target. `report`, if wanted, takes
  /// what the assembler says of registers and spills. Throws Error with the compiler's first line.
  CompiledKernel compile(const std::string& kernel, const std::string& target,
                         std::string* report = nullptr) const;

 private:
  struct Functions;

  const Functions& functions_;
  std::string version_;
};

}  // namespace unroll
