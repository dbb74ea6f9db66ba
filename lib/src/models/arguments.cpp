#include "models/arguments.h"

#include <algorithm>

#include "base/formatted.h"
#include "kernels/cpu/softmax.h"
#include "unroll/error.h"

namespace unroll {
namespace {

torch::Tensor checked_indices(const torch::Tensor& indices, torch::Device device,
                              std::string_view what) {
  if (!c10::isIntegralType(indices.scalar_type(), /*includeBool=*/false)) {
    throw Error(formatted("{} must be of an integer dtype, got {}", what,
                          c10::toString(indices.scalar_type())));
  }
  check_device(indices, device, what);
  return indices.to(torch::kInt64);
}

// Throws Error for the first of the indices (B,T) int64 that `is_bad`.
template <typename IsBad, typename Fail>
void check_each(const torch::Tensor& indices, const IsBad& is_bad, const Fail& fail) {
  if (!indices.is_cpu()) {
    return;
  }
  const auto rows = indices.accessor<int64_t, 2>();
  for (int64_t b = 0; b < rows.size(0); ++b) {
    for (int64_t t = 0; t < rows.size(1); ++t) {
      if (is_bad(rows[b][t])) {
        fail(rows[b][t]);
      }
    }
  }
}

bool is_outside(int64_t token, int64_t vocab_size) { return token < 0 || token >= vocab_size; }

[[noreturn]] void refuse_token(int64_t token, int64_t vocab_size) {
  throw Error(formatted("a token must be in [0, {}), got {}", vocab_size, token));
}

}  // namespace

void check_device(const torch::Tensor& tensor, torch::Device device, std::string_view what) {
  const bool same =
      tensor.device().type() == device.type() && (!device.has_index() || tensor.device() == device);
  if (!same) {
    throw Error(formatted("{} must be on {}, got {}", what, device.str(), tensor.device().str()));
  }
}

void check_batch_size(int64_t batch_size) {
  if (batch_size < 1) {
    throw Error(formatted("the batch size must be at least 1, got {}", batch_size));
  }
}

void check_batch_shape(int64_t batch_size, int64_t steps) {
  if (steps < 1 || batch_size < 1) {
    throw Error(formatted("a batch must have at least 1 sequence of 1 step, got {} of {}",
                          batch_size, steps));
  }
}

void check_tokens(std::span<const int64_t> tokens, int64_t vocab_size) {
  const auto bad = std::find_if(tokens.begin(), tokens.end(),
                                [&](int64_t token) { return is_outside(token, vocab_size); });
  if (bad != tokens.end()) {
    refuse_token(*bad, vocab_size);
  }
}

void check_step(std::span<const int64_t> tokens, int64_t batch_size, int64_t vocab_size) {
  if (static_cast<int64_t>(tokens.size()) != batch_size) {
    throw Error(formatted("a step takes {} tokens, got {}", batch_size, tokens.size()));
  }
  check_tokens(tokens, vocab_size);
}

torch::Tensor checked_tokens(const torch::Tensor& X, int64_t vocab_size, torch::Device device) {
  if (!X.defined() || X.dim() != 2 || X.numel() == 0) {
    throw Error(
        formatted("X must be (B,T) with B and T at least 1, got {}",
                  X.defined() ? formatted("shape [{}]", joined(X.sizes(), ", ")) : "no tensor"));
  }
  auto tokens = checked_indices(X, device, "X");
  check_each(
      tokens, [&](int64_t token) { return is_outside(token, vocab_size); },
      [&](int64_t token) { refuse_token(token, vocab_size); });
  return tokens;
}

Batch checked_batch(const Batch& batch, int64_t vocab_size, torch::Device device) {
  Batch checked{.X = checked_tokens(batch.X, vocab_size, device), .Y = {}};
  check_shape(batch.Y, checked.X.sizes(), "Y");
  checked.Y = checked_indices(batch.Y, device, "Y");
  check_each(
      checked.Y,
      [&](int64_t label) { return is_outside(label, vocab_size) && label != cpu::kIgnoredLabel; },
      [&](int64_t label) {
        throw Error(formatted("a label must be in [0, {}), or {} to be left out, got {}",
                              vocab_size, cpu::kIgnoredLabel, label));
      });
  return checked;
}

void check_shape(const torch::Tensor& tensor, at::IntArrayRef expected, std::string_view what) {
  if (!tensor.defined() || tensor.sizes() != expected) {
    throw Error(formatted(
        "{} must have shape [{}], got {}", what, joined(expected, ", "),
        tensor.defined() ? formatted("[{}]", joined(tensor.sizes(), ", ")) : "no tensor"));
  }
}

StateForm::StateForm(const State& example) {
  for (const auto& s : example) {
    if (!s.defined() || s.dim() < 2) {
      throw Error(
          formatted("a state must have the batch as its last dimension but one, got {}",
                    s.defined() ? formatted("shape [{}]", joined(s.sizes(), ", ")) : "no tensor"));
    }
    forms_.push_back(
        {.sizes = s.sizes().vec(),
         .integers = s.is_floating_point() ? std::nullopt : std::optional(s.scalar_type())});
  }
}

void StateForm::check(const State& state, int64_t batch_size, const torch::Tensor& weight) const {
  if (state.size() != forms_.size()) {
    throw Error(formatted("this model has {} state tensors, got {}", forms_.size(), state.size()));
  }
  for (std::size_t i = 0; i < forms_.size(); ++i) {
    auto expected = forms_[i].sizes;
    expected[expected.size() - 2] = batch_size;
    check_shape(state[i], expected, "a state");
    const auto type = forms_[i].integers.value_or(weight.scalar_type());
    if (state[i].scalar_type() != type) {
      throw Error(formatted("a state must be of {}, got {}", c10::toString(type),
                            c10::toString(state[i].scalar_type())));
    }
    check_device(state[i], weight.device(), "a state");
  }
}

}  // namespace unroll
