#pragma once

#include <nlohmann/json.hpp>

#include "unroll/compute.h"
#include "unroll/corpus.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"

namespace unroll {

/// Options as JSON objects whose keys are the command line's names, `_` for `-`. Reading takes what
/// a key lacks from the defaults, and throws Json::exception or Error for a value that is none.
/// What is read keeps no order: ordered_json looks through all keys for each, and a file may have
/// many.
nlohmann::ordered_json to_json(const ModelConfig& config);
nlohmann::ordered_json to_json(const CorpusOptions& options);
nlohmann::ordered_json to_json(const DataOptions& options);
nlohmann::ordered_json to_json(const TrainOptions& options);

ModelConfig model_config_from(const nlohmann::json& json);
CorpusOptions corpus_options_from(const nlohmann::json& json);
DataOptions data_options_from(const nlohmann::json& json);
TrainOptions train_options_from(const nlohmann::json& json);

/// The integer of this key. Throws as above when it is not one from `least` to `most`.
int64_t integer_at(const nlohmann::json& json, const char* key, int64_t least, int64_t most);

}  // namespace unroll
