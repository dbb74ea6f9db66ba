#include "cli/saved_model.h"

#include <string>

#include "base/formatted.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "unroll/error.h"

namespace unroll::app {

void add_saved_model_options(Options& options) {
  options.value("model", "refuse a checkpoint of another kind; fused means --compute fused", "KIND")
      .fields(Compute{}, {"precision", "graph"});
}

Compute read_saved_model_options(const Options& options) {
  Compute compute;
  if (options.given("model") && !is_fused_by_model(options)) {
    parse_enum<ModelKind>(options.text("model"));
  }
  read_compute(options, compute);
  return compute;
}

std::unique_ptr<SequenceModel> make_saved_model(const Options& options,
                                                const Checkpoint& checkpoint,
                                                const Compute& compute, torch::Device device) {
  const std::string saved(to_string(resolved(checkpoint.config).model.value()));
  if (options.given("model")) {
    const auto asked = options.text("model");
    if (asked != saved && asked != to_string(Backend::kFused)) {
      throw UsageError(formatted("--model {}: {} has the weights of a {} model; choose {} or fused",
                                 asked, options.path("checkpoint"), saved, saved));
    }
  }
  auto model = make_model(checkpoint, device, compute);
  // Kernels for training are compiled only if there is something to compute with them.
  explain_kernels(*model, checkpoint.config, compute, [&](const std::string& reason) {
    if (!options.given("quiet")) {
      print_error(reason);
    }
  });
  return model;
}

}  // namespace unroll::app
