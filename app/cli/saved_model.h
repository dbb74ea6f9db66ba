#pragma once

#include <torch/types.h>

#include <memory>

#include "cli/options.h"
#include "unroll/checkpoint.h"
#include "unroll/compute.h"

namespace unroll::app {

/// --model, --compute and --precision of a command that uses a checkpoint.
void add_saved_model_options(Options& options);

/// How the checkpoint's model is to be computed. Throws UsageError for what the options alone show
/// to be wrong.
Compute read_saved_model_options(const Options& options);

/// The checkpoint's model on this device. Unless --quiet, it says on stderr what a user may not
/// expect of how it is computed. Throws UsageError when --model names another than the
/// weights are of.
std::unique_ptr<SequenceModel> make_saved_model(const Options& options,
                                                const Checkpoint& checkpoint,
                                                const Compute& compute, torch::Device device);

}  // namespace unroll::app
