#pragma once

#include <array>
#include <cstddef>

#include "unroll/error.h"  // what its functions throw

namespace unroll {

/// NVIDIA's sums between devices, which come with LibTorch's CUDA wheels: the functions of
/// libnccl.so.2 that are used here, declared by hand, as a build need not have nccl.h. They return
/// the number of an error; numbers are those of nccl.h.
struct Nccl {
  static constexpr int kSuccess = 0;
  static constexpr int kRemoteError = 6;
  static constexpr int kInProgress = 7;
  static constexpr int kFloat32 = 7;
  static constexpr int kFloat64 = 8;
  static constexpr int kSum = 0;

  using UniqueId = std::array<char, 128>;  // passed as the structure that it is in C
  using Communicator = void*;

  const char* (*get_error_string)(int error);
  const char* (*get_last_error)(Communicator communicator);
  int (*get_unique_id)(UniqueId* id);
  int (*comm_init_rank)(Communicator* communicator, int world, UniqueId id, int rank);
  int (*comm_get_async_error)(Communicator communicator, int* error);
  int (*comm_abort)(Communicator communicator);
  int (*all_reduce)(const void* from, void* to, std::size_t count, int type, int operation,
                    Communicator communicator, void* stream);

  /// Loads it at the first call. Throws Error, which says what is missing.
  static const Nccl& loaded();
};

}  // namespace unroll
