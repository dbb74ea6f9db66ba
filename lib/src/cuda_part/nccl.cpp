#include "cuda_part/nccl.h"

#include "cuda_part/function_finder.h"

namespace unroll {
namespace {

Nccl load_nccl() {
  // The CUDA part of LibTorch's wheels links it: where a GPU is, it is loaded already.
  const FunctionFinder find("libnccl.so.2", "NCCL", "nccl");
  Nccl all{};
  find("GetErrorString", all.get_error_string);
  find("GetLastError", all.get_last_error);
  find("GetUniqueId", all.get_unique_id);
  find("CommInitRank", all.comm_init_rank);
  find("CommGetAsyncError", all.comm_get_async_error);
  find("CommAbort", all.comm_abort);
  find("AllReduce", all.all_reduce);
  return all;
}

}  // namespace

const Nccl& Nccl::loaded() {
  static const auto all = load_nccl();
  return all;
}

}  // namespace unroll
