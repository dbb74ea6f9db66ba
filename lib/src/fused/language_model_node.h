#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/cpu/language_model.h"
#include "layers/layout.h"
#include "unroll/model.h"
#include "unroll/tensors.h"

namespace unroll {

/// What the CPU kernels are to compute: a language model, forward and back, as one autograd node.
struct LanguageModelCall : torch::CustomClassHolder {
  Layout layout{};
  std::shared_ptr<cpu::LanguageModelPass> pass;  // null once its memory has served the way back
  torch::Tensor tokens;                          // (T,B) int64 in [0,V)
  torch::Tensor labels;  // (T,B) int64 in [0,V) or -100, or undefined: then the result is logits
  double dropout = 0;    // between the layers
  std::optional<at::Generator> generator;  // that it draws from, or LibTorch's default
  std::vector<torch::Tensor> masks;  // (T,B,H) of each layer but the last, if there is dropout
  bool with_backward = false;
  GradientCallback on_gradient;  // of a loss, see SequenceModel::reporting_loss
};

/// Logits (T*B,V), or the loss, and the states after the last step.
///
/// `tensors`: the weights, then the states (see check_states); float32 on the CPU. Throws Error for
/// a shape that does not fit.
std::pair<torch::Tensor, State> run(const c10::intrusive_ptr<LanguageModelCall>& call,
                                    const std::vector<torch::Tensor>& tensors);

}  // namespace unroll
