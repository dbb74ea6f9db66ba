#pragma once

#include <complex>
#include <cstdint>
#include <string>
#include <vector>

#include "unroll/compute.h"
#include "unroll/tensors.h"

namespace unroll {

/// How a layer's recurrent matrix stretches and turns the state in one step. The gradient of an rnn
/// fades with the steps that it goes back if the largest singular value is below 1, and it can only
/// grow if that is above 1 (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063).
struct Spectrum {
  int64_t layer = 0;                                   ///< from 0
  std::string name = {};                               ///< the notebook's: `W_hh`, of a gate `W_hz`
  std::vector<double> singular_values = {};            ///< H of them, the largest first
  std::vector<std::complex<double>> eigenvalues = {};  ///< H of them, by falling magnitude
};

/// The spectra of all recurrent matrices, layer by layer, a layer's in the order of the scratch
/// model's weights. The mlp has none.
///
/// They are computed in float64 on the CPU, in time that grows with H^3: a matrix of hidden 512
/// takes 0.4 s, of 1024 1.6 s (AMD EPYC, one thread).
///
/// Throws UsageError for a description that contradicts itself, Error for other weights and, naming
/// the matrix, for one that is not finite.
std::vector<Spectrum> spectra_of(const ModelConfig& config, const NamedTensors& weights);

}  // namespace unroll
