#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "unroll/tensors.h"

// What models are fed, checked in one place, so that each says the same of the same mistake.

namespace unroll {

/// Throws Error unless there is at least one sequence.
void check_batch_size(int64_t batch_size);

/// Throws Error unless there is at least one sequence of one step.
void check_batch_shape(int64_t batch_size, int64_t steps);

/// Throws Error unless each token is in [0,V).
void check_tokens(std::span<const int64_t> tokens, int64_t vocab_size);

/// Throws Error unless there is a token in [0,V) for each of `batch_size` sequences.
void check_step(std::span<const int64_t> tokens, int64_t batch_size, int64_t vocab_size);

/// X as the models read it, int64.
///
/// Throws Error unless X is (B,T), B and T at least 1, of an integer dtype and on the device, with
/// tokens in [0,V). The tokens are looked at on a CPU only: elsewhere that would wait for the
/// device.
torch::Tensor checked_tokens(const torch::Tensor& X, int64_t vocab_size, torch::Device device);

/// X and Y likewise. Y must have the shape of X; -100 is a label that the loss leaves out.
Batch checked_batch(const Batch& batch, int64_t vocab_size, torch::Device device);

/// Throws Error: `X must be on cuda:0, got cpu`. A device without index is any of its kind.
void check_device(const torch::Tensor& tensor, torch::Device device, std::string_view what);

/// Throws Error: `a state must have shape [2, 8], got [3, 8]`.
void check_shape(const torch::Tensor& tensor, at::IntArrayRef expected, std::string_view what);

/// What a model's states look like, whatever the number of sequences.
class StateForm {
 public:
  /// `example`: what begin_state gave. Throws Error unless each tensor has two dimensions or more,
  /// as the batch is dimension -2.
  explicit StateForm(const State& example);

  /// So many tensors of these sizes, whatever the batch's.
  StateForm(std::size_t count, std::vector<int64_t> sizes)
      : forms_(count, {.sizes = std::move(sizes), .integers = {}}) {}

  /// Throws Error unless this is a state of B sequences: so many tensors, each of its shape, of the
  /// weights' dtype unless the example was of integers, on their device.
  void check(const State& state, int64_t batch_size, const torch::Tensor& weight) const;

 private:
  struct Form {
    std::vector<int64_t> sizes;
    std::optional<torch::ScalarType> integers;  // the dtype, if it is none of floating point
  };
  std::vector<Form> forms_;
};

}  // namespace unroll
