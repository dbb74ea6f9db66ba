#include "layers/matrix_copies.h"

#include <algorithm>
#include <cstddef>

#include "kernels/cuda/kernel_name.h"
#include "kernels/cuda/shapes.h"
#include "layers/tensor_pointers.h"
#include "models/arguments.h"

namespace unroll {
namespace {

// Rows and columns of one are neighbours, whatever their stride.
bool has_rows(const torch::Tensor& matrix) { return matrix.stride(1) == 1 || matrix.size(1) == 1; }

}  // namespace

void MatrixCopies::add(const torch::Tensor& from, const torch::Tensor& to,
                       const torch::Tensor& added, const torch::Tensor& added_again) {
  check_shape(from, to.sizes(), "a weight");
  if (!has_rows(to)) {
    if (!has_rows(to.t()) || added.defined() || added_again.defined()) {
      throw Error("a matrix cannot be copied to where neither rows nor columns are in one piece");
    }
    add(from.t(), to.t());
    return;
  }
  auto target = to;
  copies_.push_back({.from = read(from),
                     .add = row(added, to.size(1)),
                     .add_again = row(added_again, to.size(1)),
                     .to = write(target),
                     .rows = to.size(0),
                     .columns = to.size(1),
                     .from_row = from.stride(0),
                     .from_column = from.stride(1),
                     .to_row = to.stride(0)});
}

const float* MatrixCopies::row(const torch::Tensor& added, int64_t columns) {
  if (!added.defined()) {
    return nullptr;
  }
  check_shape(added, {columns}, "a bias");
  return read(rows_.emplace_back(added.contiguous()));
}

void MatrixCopies::add_row(const torch::Tensor& from, const torch::Tensor& to,
                           const torch::Tensor& added) {
  add(from.unsqueeze(0), to.unsqueeze(0), added);
}

void MatrixCopies::run(const CudaKernels& kernels, torch::Device device) const {
  constexpr auto kAtOnce = static_cast<std::size_t>(cuda::kCopiesAtOnce);
  for (std::size_t first = 0; first < copies_.size(); first += kAtOnce) {
    cuda::CopyArguments a{.count = static_cast<int>(std::min(kAtOnce, copies_.size() - first)),
                          .copies = {}};
    int64_t squares = 0;
    for (int i = 0; i < a.count; ++i) {
      a.copies[i] = copies_[first + static_cast<std::size_t>(i)];
      squares += cuda::squares_of(a.copies[i].rows, a.copies[i].columns);
    }
    kernels.run(cuda::kCopyMatrices, a, kernels.blocks_for(squares, device, cuda::kCopiersEach),
                cuda::kSquareFloats * sizeof(float), device);
  }
}

}  // namespace unroll
