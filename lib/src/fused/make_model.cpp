#include <torch/cuda.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/formatted.h"
#include "cuda_part/cuda_part.h"
#include "fused/computed_model.h"
#include "kernels/cpu/matrices/tile_product.h"
#include "layers/cudnn.h"
#include "models/plain_model.h"
#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/model.h"

namespace unroll {

namespace {

// The fields of a description as texts.
std::vector<std::pair<std::string_view, std::string>> texts_of(const ModelConfig& config) {
  std::vector<std::pair<std::string_view, std::string>> texts;
  ModelConfig::fields(config, [&](const auto& value, const Field& field) {
    texts.emplace_back(field.name, to_text(value));
  });
  return texts;
}

// Throws Error, naming the first field that differs, unless the description is the model's.
void require_described(const SequenceModel& model, const ModelConfig& description) {
  const auto is = texts_of(model.config());
  const auto described = texts_of(description);
  for (std::size_t i = 0; i < is.size(); ++i) {
    if (is[i] != described[i]) {
      throw Error(formatted("the model has {} {}, its description {}", is[i].first, is[i].second,
                            described[i].second));
    }
  }
}

// Whether our kernels know what the model computes. Throws as check does, and Error, which says why
// not, if nothing else will do.
bool can_be_fused(const SequenceModel& model, const Compute& compute) {
  std::optional<ModelConfig> config;
  try {
    config = model.config();
  } catch (const Error& error) {
    const bool is_needed = compute.backend == Backend::kFused ||
                           compute.backend == Backend::kCudnn ||
                           compute.precision != Precision::kFp32 || compute.generator;
    if (compute.backend != Backend::kPlain && is_needed) {
      throw Error(formatted("{} cannot compute this model: {}",
                            compute.backend == Backend::kCudnn ? "cuDNN" : "the fused backend",
                            error.what()));
    }
  }
  Compute own = compute;
  if (!config) {
    own.backend = Backend::kPlain;
  }
  check(config.value_or(ModelConfig{}), own);
  return own.backend != Backend::kPlain && config->cell != Cell::kMlp;
}

}  // namespace

bool is_supported(Precision precision) {
  return precision == Precision::kFp32 || cpu::has_tile_unit();
}

void require_supported(const Compute& compute, torch::Device device) {
  if (const auto& own = compute.generator;
      own && (!own->defined() || own->device().type() != device.type())) {
    throw Error(formatted("a generator of your own must be on {}, got {}", device.str(),
                          own->defined() ? own->device().str() : "none"));
  }
  const auto name = to_string(compute.precision);
  if (compute.backend == Backend::kCudnn &&
      !(device.is_cuda() && torch::cuda::cudnn_is_available())) {
    throw Error(formatted("compute cudnn needs a CUDA device with cuDNN, got device {}{}",
                          device.str(), device.is_cuda() ? " without it" : ""));
  }
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
    const bool has_other = compute.backend != Backend::kFused && cudnn_has_bf16();
    if (const auto problem = cuda_kernels_problem(device); !problem.empty() && !has_other) {
      throw Error(formatted("precision bf16 on {} needs our own kernels: {}; choose fp32, or cpu",
                            device.str(), problem));
    }
  }
}

const std::string& cuda_part_problem() { return cuda_part().problem; }

std::string cuda_kernels_problem(torch::Device device) {
  const auto& cuda = cuda_part();
  return cuda.kernels ? cuda.kernels->problem(device) : cuda.problem;
}

std::unique_ptr<SequenceModel> computed_as(std::shared_ptr<SequenceModel> model,
                                           const Compute& compute) {
  if (!model) {
    throw UsageError("a model is needed to compute it, got null");
  }
  auto possible = compute;
  if (!can_be_fused(*model, compute)) {
    possible.backend = Backend::kPlain;
  }
  require_supported(compute, model->device());
  return std::make_unique<ComputedModel>(std::move(model), possible);
}

std::unique_ptr<SequenceModel> computed_as(std::shared_ptr<SequenceModel> model,
                                           const ModelConfig& config, const Compute& compute) {
  check(config, compute);
  if (model) {
    require_described(*model, resolved(config));
  }
  return computed_as(std::move(model), compute);
}

std::unique_ptr<SequenceModel> make_model(const ModelConfig& config, int64_t vocab_size,
                                          torch::Device device, const Compute& compute) {
  check(config, compute);
  require_supported(compute, device);
  auto model = make_plain_model(config, vocab_size, device);
  if (compute.backend == Backend::kPlain && device.is_cpu()) {
    return model;
  }
  return computed_as(std::move(model), compute);
}

}  // namespace unroll
