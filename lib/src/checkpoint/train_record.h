#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "unroll/checkpoint.h"

namespace unroll {

/// A record's part of a checkpoint's JSON, everything but tensors.
nlohmann::ordered_json to_json(const TrainRecord& record);

/// And its tensors: `updater.*`, `sums.*`, `carry.*`, `rng.*`, `history`.
NamedTensors tensors_of(const TrainRecord& record);

/// Whether a file's tensor is one of those.
bool is_of_training(std::string_view name);

/// Both together again, from all tensors of a file. Throws Json::exception or Error for what is
/// damaged; tensors that must fit a model are left to Training::load_state.
TrainRecord train_record_from(const nlohmann::json& json, const NamedTensors& tensors);

}  // namespace unroll
