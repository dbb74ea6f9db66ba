#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>

#include "cli/options.h"
#include "unroll/checkpoint.h"

namespace unroll::app {

/// --model of a command that uses a checkpoint.
void add_saved_model_option(Options& options);

/// What is to compute with the checkpoint's weights; nothing: what was saved.
/// Throws UsageError when --model is no kind of model.
std::optional<ModelKind> read_saved_model_option(const Options& options);

/// The checkpoint's model on this device as `kind`, the saved one if there is none. On a CUDA
/// device a fused model has kernels of its own only if it is asked for. Throws UsageError when the
/// weights are of another kind, or the cell cannot be fused.
std::unique_ptr<SequenceModel> make_saved_model(const Options& options,
                                                const Checkpoint& checkpoint,
                                                std::optional<ModelKind> kind,
                                                torch::Device device);

}  // namespace unroll::app
