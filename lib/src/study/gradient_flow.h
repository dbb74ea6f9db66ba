#pragma once

#include <torch/types.h>

#include <vector>

#include "unroll/compute.h"
#include "unroll/tensors.h"

namespace unroll {

/// How far a gradient reaches back in time.
///
/// The loss here is the last prediction's alone. Its gradient by the state k steps before is a
/// product of k Jacobians, so it falls or grows about exponentially with k (Pascanu et al. 2013,
/// https://arxiv.org/abs/1211.5063). The state before a step is what the step reads: h, and of an
/// LSTM c beside it; a gradient by one holds the other. So c_T itself has none: only h_T predicts.
struct GradientFlow {
  /// [k], k = 0..T-1: norm of d loss_T / d h_{T-k}, one over the units of all layers. Of the mlp,
  /// which has no state, that of its hidden layer at k = 0, then zeros.
  std::vector<double> h = {};
  std::vector<double> c = {};  ///< the same by c; empty unless the cell is an LSTM
  double norm = 0;             ///< that of all weights' gradient of the mean loss of all B*T tokens
  double clip_factor = 1;      ///< what clipping multiplies this gradient with: min(1, clip/norm)
};

/// Measures it on B stretches of a text, each from a state of zeros, without dropout.
///
/// stretches (B,T+1), B and T at least 1: T tokens and the one after each, indices in [0,V) of any
/// integer dtype. clip: bound on the gradient norm; 0 is off.
///
/// The norms by distance are geometric means over the stretches: they differ by orders of
/// magnitude, and an arithmetic mean would show the largest alone. On a logarithmic axis it is the
/// mean of the stretches' curves. A norm of zero, as of ReLUs that are all off, makes it zero.
/// Norms below 1e-38 or so are zero, too, as the model computes in float32. They are NaN if the
/// model has diverged.
///
/// Throws UsageError for a description that contradicts itself or a clip below 0, Error for other
/// weights and tokens.
GradientFlow gradient_flow(const ModelConfig& config, const NamedTensors& weights,
                           const torch::Tensor& stretches, double clip);

}  // namespace unroll
