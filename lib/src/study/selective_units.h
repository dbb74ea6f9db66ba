#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "unroll/compute.h"
#include "unroll/tensors.h"
#include "unroll/vocab.h"

namespace unroll {

/// A unit whose activation follows something that a reader sees in the text.
struct SelectiveUnit {
  int64_t layer = 0;          ///< from 0
  int64_t unit = 0;           ///< in [0,H)
  std::string follows = {};   ///< `vowels`: a name of token_properties
  bool needs_memory = false;  ///< whether earlier tokens decide that, not the last one alone
  double correlation = 0;     ///< Pearson's, with that property, in [-1,1]
  std::vector<float> activations = {};  ///< (N): h after each token
};

/// Reads a text token by token from a state of zeros, and finds at most `count` units that follow
/// something readable, as Karpathy et al. found by eye (2015, https://arxiv.org/abs/1506.02078).
///
/// Each unit of each layer is compared with each of token_properties. The pair with the largest
/// absolute correlation comes first, then the next one, but no unit twice and no property more than
/// twice. Of equal ones the first property and the first unit win. A unit that is constant follows
/// nothing.
///
/// A correlation is no cause. Each unit reads the last token, so that some follow it even before
/// the model has learned; what needs memory says more. And the best of many pairs has a correlation
/// by chance: about 0.1 of 20,000 pairs on 2000 tokens.
///
/// tokens (N), indices in [0,V) of any integer dtype; a few thousand show enough. The mlp has no
/// state, so no units are found.
///
/// Throws UsageError for a description that contradicts itself, Error for other weights, another
/// vocabulary's size or other tokens, and, naming the token's position, if a state is not finite.
std::vector<SelectiveUnit> selective_units(const ModelConfig& config, const NamedTensors& weights,
                                           const torch::Tensor& tokens, const Vocab& vocab,
                                           int64_t count = 12);

}  // namespace unroll
