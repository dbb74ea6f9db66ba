#include "layers/cudnn.h"

#include <ATen/Context.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "models/cell_kind.h"

namespace unroll {
namespace {

// Of a cell, up to so many hidden units, up to so many sequences.
struct Limit {
  int64_t hidden;
  int64_t batch_size;
};

template <std::size_t kCount>
bool is_within(const Limit (&limits)[kCount], int64_t batch_size, int64_t hidden) {
  const auto* limit = std::find_if(std::begin(limits), std::end(limits),
                                   [&](const Limit& l) { return hidden <= l.hidden; });
  return limit != std::end(limits) && batch_size <= limit->batch_size;
}

}  // namespace

bool has_cudnn(const ModelConfig& config, const Compute& compute) {
  return torch::cuda::cudnn_is_available() && at::globalContext().userEnabledCuDNN() &&
         config.cell != Cell::kMlp && table_of(cell_kind(config)).has_torch_form &&
         (compute.precision == Precision::kFp32 || cudnn_has_bf16()) &&
         !(compute.generator && config.dropout > 0);
}

bool cudnn_has_bf16() {
// Before, LibTorch computes its layers in bf16 by an operation after the other.
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 11
  return torch::cuda::cudnn_is_available() &&
         at::detail::getCUDAHooks().supportsBFloat16RNNWithCuDNN();
#else
  return false;
#endif
}

bool kernels_are_faster(CellKind cell, int64_t batch_size, int64_t hidden) {
  constexpr Limit kOfRnn[] = {{256, 32}, {1024, 128}, {2048, 32}};
  constexpr Limit kOfLstm[] = {{512, 32}, {1024, 1}};
  constexpr Limit kOfGru[] = {{128, 0}, {512, 32}};
  return is_simple(cell) ? is_within(kOfRnn, batch_size, hidden)
         : has_c(cell)   ? is_within(kOfLstm, batch_size, hidden)
                         : is_within(kOfGru, batch_size, hidden);
}

bool cudnn_is_faster(CellKind cell, int64_t batch_size, int64_t hidden) {
  constexpr Limit kOfRnn[] = {{128, 64}, {512, 512}, {1024, 200}, {2048, 40}};
  constexpr Limit kOfLstm[] = {{128, 200}, {256, 200}, {512, 128}, {1024, 2}};
  constexpr Limit kOfGru[] = {{128, 16}, {256, 128}, {512, 64}, {1024, 2}};
  return !(is_simple(cell) ? is_within(kOfRnn, batch_size, hidden)
           : has_c(cell)   ? is_within(kOfLstm, batch_size, hidden)
                           : is_within(kOfGru, batch_size, hidden));
}

}  // namespace unroll
