#include "cli/saved_model.h"

#include <string>
#include <utility>

#include "base/formatted.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "unroll/error.h"
#include "unroll/fused.h"

namespace unroll::app {

void add_saved_model_option(Options& options) {
  options.value("model",
                "what computes: fused, or what was saved (default); on CUDA a fused model's own "
                "kernels are used only if it is named here",
                "KIND");
}

std::optional<ModelKind> read_saved_model_option(const Options& options) {
  if (!options.given("model")) {
    return std::nullopt;
  }
  return parse_model_kind(options.text("model"));
}

std::unique_ptr<SequenceModel> make_saved_model(const Options& options,
                                                const Checkpoint& checkpoint,
                                                std::optional<ModelKind> kind,
                                                torch::Device device) {
  if (!kind) {
    return make_model(checkpoint, device);
  }
  auto plain = checkpoint;
  plain.config = parameter_model(checkpoint.config);
  const auto saved = plain.config.model;
  if (*kind != saved && *kind != ModelKind::kFused) {
    throw UsageError(formatted("--model {}: {} has the weights of a {} model; choose {} or fused",
                               to_string(*kind), options.path("checkpoint"), to_string(saved),
                               to_string(saved)));
  }
  auto model = make_model(plain, device);
  if (*kind != ModelKind::kFused) {
    return model;
  }
  auto config = plain.config;
  config.cuda_kernels = wants_cuda_kernels(options, config.precision, device, print_error);
  return std::make_unique<FusedModel>(std::move(model), config);
}

}  // namespace unroll::app
