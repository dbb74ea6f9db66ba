#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "models/cell_kind.h"
#include "unroll/compute.h"
#include "unroll/scratch.h"

namespace unroll {

/// The forward function of a scratch model's recurrence: `rnn`, `gru` and so on.
decltype(rnn)* scratch_forward(CellKind cell);

/// A new scratch or concise model, which computes by its own formulas. The description has been
/// checked.
std::unique_ptr<SequenceModel> make_plain_model(const ModelConfig& config, int64_t vocab_size,
                                                torch::Device device);

}  // namespace unroll
