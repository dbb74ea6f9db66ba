#pragma once

#include <torch/types.h>

#include "options.h"

namespace unroll::app {

/// Throws UsageError when --device or --threads is wrong in itself; touches no device.
void check_machine_options(const Options& options);

/// Sets the number of threads and returns the device.
torch::Device set_up_machine(const Options& options);

}  // namespace unroll::app
