#pragma once

#include "unroll/compute.h"
#include "unroll/scratch.h"

namespace unroll {

/// What the scratch model's forward function of such a cell computes (`rnn`, `gru`, ...), by the
/// fused backend, for RNNModelScratch.
///
/// inputs (T,B,V), state and parameters are float32 on a CPU; the plain function computes anything
/// else. Throws UsageError for the mlp cell, which has no recurrence.
ForwardFn fused_forward(const ModelConfig& config);

}  // namespace unroll
