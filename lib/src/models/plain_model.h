#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "models/cell_kind.h"
#include "unroll/compute.h"
#include "unroll/scratch.h"

namespace unroll {

/// The forward function of a scratch model's recurrence: `rnn`, `gru` and so on.
decltype(rnn)* scratch_forward(CellKind cell);

/// The scratch model, but for its size, that such a function computes; nothing for one of the
/// user's own.
std::optional<ModelConfig> scratch_config(decltype(rnn)* forward);

/// A new scratch or concise model, which computes by its own formulas. The description has been
/// checked.
std::unique_ptr<SequenceModel> make_plain_model(const ModelConfig& config, int64_t vocab_size,
                                                torch::Device device);

}  // namespace unroll
