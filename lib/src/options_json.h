#pragma once

#include <nlohmann/json.hpp>

#include "unroll/corpus.h"
#include "unroll/model_config.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"

namespace unroll {

/// Options as JSON objects whose keys are the command line's names, `_` for `-`. Reading takes what
/// a key lacks from the defaults, and throws Json::exception or Error for a value that is none.
nlohmann::ordered_json to_json(const ModelConfig& config);
nlohmann::ordered_json to_json(const CorpusOptions& options);
nlohmann::ordered_json to_json(const DataOptions& options);
nlohmann::ordered_json to_json(const TrainOptions& options);

ModelConfig model_config_from(const nlohmann::ordered_json& json);
CorpusOptions corpus_options_from(const nlohmann::ordered_json& json);
DataOptions data_options_from(const nlohmann::ordered_json& json);
TrainOptions train_options_from(const nlohmann::ordered_json& json);

}  // namespace unroll
