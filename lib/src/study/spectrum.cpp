#include "study/spectrum.h"

#include <ATen/ops/linalg_eigvals.h>
#include <ATen/ops/linalg_svdvals.h>
#include <torch/types.h>

#include <algorithm>
#include <tuple>

#include "base/formatted.h"
#include "models/cell_kind.h"
#include "models/weight_shapes.h"
#include "unroll/error.h"

namespace unroll {
namespace {

template <typename Value>
std::vector<Value> to_vector(const torch::Tensor& values) {
  const auto* first = reinterpret_cast<const Value*>(values.const_data_ptr());
  return {first, first + values.numel()};
}

// Of one matrix, or its transpose, as torch::nn holds it: they have the same.
Spectrum spectrum_of(int64_t layer, const std::string& name, const torch::Tensor& matrix) {
  const auto W = matrix.to(torch::kCPU, torch::kFloat64);
  if (!W.isfinite().all().item<bool>()) {
    throw Error(formatted("{} of layer {} is not finite; its training has diverged", name, layer));
  }
  auto eigenvalues = to_vector<std::complex<double>>(at::linalg_eigvals(W).contiguous());
  // Both of a conjugate pair have one magnitude: the one above the real axis comes first.
  std::sort(eigenvalues.begin(), eigenvalues.end(), [](const auto& a, const auto& b) {
    const auto key = [](const auto& z) { return std::tuple(std::abs(z), z.real(), z.imag()); };
    return key(a) > key(b);
  });
  return {.layer = layer,
          .name = name,
          .singular_values = to_vector<double>(at::linalg_svdvals(W).contiguous()),
          .eigenvalues = std::move(eigenvalues)};
}

}  // namespace

std::vector<Spectrum> spectra_of(const ModelConfig& config, const NamedTensors& weights) {
  const torch::NoGradGuard no_grad;
  check_weights(config, weights.empty() ? 0 : weights.back().tensor.numel(), weights);
  std::vector<Spectrum> spectra;
  if (config.cell == Cell::kMlp) {
    return spectra;
  }
  const auto table = table_of(cell_kind(config));
  const bool is_scratch = resolved(config).model == ModelKind::kScratch;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (int g = 0; g < table.gate_count; ++g) {
      const auto name = formatted("W_h{}", table.gates[g].suffix);
      const auto matrix =
          is_scratch ? tensor_named(weights, name)
                     : tensor_named(weights, formatted("rnn.weight_hh_l{}", layer))
                           .narrow(0, table.gates[g].torch_position * config.hidden, config.hidden);
      spectra.push_back(spectrum_of(layer, name, matrix));
    }
  }
  return spectra;
}

}  // namespace unroll
