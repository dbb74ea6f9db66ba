#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "cuda_part/compiled_kernel.h"

namespace unroll {

/// Compiled kernels in files of a folder, of which several processes may be at once.
///
/// What is in there is run on the GPU, so only a folder that the user owns and nobody else can
/// write is read, and only files whose checksum holds.
class KernelCache {
 public:
  /// An empty folder keeps nothing.
  explicit KernelCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// What was kept under a key: letters and digits. Nothing if there is none. Throws Error, which
  /// says why, if the folder cannot be trusted or the file is damaged.
  std::optional<CompiledKernel> find(const std::string& key) const;

  /// Makes the folder, if need be, and replaces what is there as a whole. Throws Error if it
  /// cannot.
  void keep(const std::string& key, const CompiledKernel& kernel) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace unroll
