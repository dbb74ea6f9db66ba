#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "page/coloured_text.h"
#include "unroll/compute.h"
#include "unroll/tensors.h"
#include "unroll/vocab.h"

namespace unroll {

/// A trained model, and a text to look at it with.
struct Inspected {
  ModelConfig config = {};
  NamedTensors weights = {};
  const Vocab& vocab;
  torch::Tensor tokens = {};  ///< (N), at least 2; a few thousand show enough
  int64_t num_steps = 35;     ///< T, how far back gradients are followed
  double clip = 1;            ///< bound on the gradient norm; 0 is off
};

/// What the model does, as sections of a page: how far its gradients reach back, the spectra of its
/// recurrent matrices, and units that follow something in the text. Throws as their functions do.
std::string inspection(const Inspected& model);

/// The tokens (N) of a text as a reader sees them, coloured by `nats` (N) of surprise; the first
/// has none. What the vocabulary lacks is U+FFFD.
std::vector<ColouredToken> coloured_by_surprise(const torch::Tensor& tokens, const Vocab& vocab,
                                                std::span<const float> nats);

}  // namespace unroll
