#include <utility>

#include "base/formatted.h"
#include "cuda_part/cuda_part.h"
#include "fused/computed_model.h"
#include "fused/layout.h"
#include "kernels/cpu/tile_product.h"
#include "models/plain_model.h"
#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/model.h"

namespace unroll {

bool is_supported(Precision precision) {
  return precision == Precision::kFp32 || cpu::has_tile_unit();
}

void require_supported(const Compute& compute, torch::Device device) {
  const auto name = to_string(compute.precision);
  if (compute.graph == GraphMode::kOn && !device.is_cuda()) {
    throw Error(formatted("graph on needs a CUDA device, got device {}", device.str()));
  }
  if (device.is_cpu() && !is_supported(compute.precision)) {
    throw Error(
        formatted("precision {} needs a CPU with AMX (amx_tile, amx_bf16, avx512_bf16) that the "
                  "system lets programs use; choose fp32",
                  name));
  }
  if (!device.is_cpu() && compute.precision == Precision::kBf16x3) {
    throw Error(
        formatted("precision bf16x3 is computed on a CPU, got device {}; choose fp32, bf16, or cpu",
                  device.str()));
  }
  if (!device.is_cpu() && compute.precision == Precision::kBf16) {
    if (!device.is_cuda()) {
      throw Error(
          formatted("precision bf16 is computed on a CPU or by CUDA, got device {}", device.str()));
    }
    if (const auto& problem = cuda_part_problem(); !problem.empty()) {
      throw Error(formatted("precision bf16 on {} needs our own kernels: {}; choose fp32, or cpu",
                            device.str(), problem));
    }
  }
}

const std::string& cuda_part_problem() { return cuda_part().problem; }

std::unique_ptr<SequenceModel> computed_as(std::unique_ptr<SequenceModel> model,
                                           const ModelConfig& config, const Compute& compute) {
  check(config, compute);
  require_supported(compute, model->device());
  if (config.cell != Cell::kMlp) {
    check_hidden(*model, config);
  }
  if (compute.backend == Backend::kPlain && model->device().is_cpu()) {
    return model;
  }
  return std::make_unique<ComputedModel>(std::move(model), resolved(config), compute);
}

std::unique_ptr<SequenceModel> make_model(const ModelConfig& config, int64_t vocab_size,
                                          torch::Device device, const Compute& compute) {
  check(config, compute);
  require_supported(compute, device);
  return computed_as(make_plain_model(config, vocab_size, device), config, compute);
}

}  // namespace unroll
