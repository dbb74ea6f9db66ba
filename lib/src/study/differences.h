#pragma once

#include <torch/types.h>

#include "unroll/model.h"
#include "unroll/study.h"
#include "unroll/tensors.h"

namespace unroll {

/// What a model computes of one batch, on the CPU.
struct Outcome {
  torch::Tensor logits;    // (T*B,V)
  State state;             // after the batch
  NamedTensors gradients;  // by weight; of one layer in the scratch model's layout
};

/// Runs the model forward and backward on a batch, from a state of zeros. Its weights stay, and
/// have no gradients afterwards.
Outcome outcome_of(SequenceModel& net, const ModelConfig& config, const Batch& batch);

/// The largest absolute differences of two outcomes of one batch; not-a-number where one has it.
Differences differences_of(const Outcome& a, const Outcome& b);

/// Lets a model start from another's weights, which are of the same function.
void copy_weights(SequenceModel& net, const ModelConfig& config, const NamedTensors& source,
                  const ModelConfig& source_config);

}  // namespace unroll
