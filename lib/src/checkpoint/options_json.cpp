#include "checkpoint/options_json.h"

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/abridged.h"
#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Json = nlohmann::ordered_json;

// Whether a number has no fraction and fits into T, whatever the JSON library would make of it.
template <typename T>
bool is_integer(const nlohmann::json& value) {
  return value.is_number_unsigned()
             ? std::in_range<T>(value.get<uint64_t>())
             : value.is_number_integer() && std::in_range<T>(value.get<int64_t>());
}

template <typename T>
T value_of(const nlohmann::json& value, const char* key) {
  if constexpr (std::is_integral_v<T>) {
    if (!is_integer<T>(value)) {
      throw Error(formatted("{} must be an integer from {} to {}, got {}", key,
                            std::numeric_limits<T>::min(), std::numeric_limits<T>::max(),
                            abridged(value.dump())));
    }
  }
  return value.get<T>();
}

// Sets a value where the object has its key.
template <typename T>
void read(const nlohmann::json& json, const char* key, T& value) {
  if (const auto found = json.find(key); found != json.end()) {
    value = value_of<T>(*found, key);
  }
}

template <typename T>
void read(const nlohmann::json& json, const char* key, std::optional<T>& value) {
  if (const auto found = json.find(key); found != json.end()) {
    value = value_of<T>(*found, key);
  }
}

// The same for a name and the function that parses it.
template <typename T, typename Parse>
void read(const nlohmann::json& json, const char* key, T& value, Parse parse) {
  if (const auto found = json.find(key); found != json.end()) {
    value = parse(std::string_view(found->template get_ref<const std::string&>()));
  }
}

}  // namespace

Json to_json(const ModelConfig& config) {
  Json json{{"model", to_string(config.model)},
            {"cell", to_string(config.cell)},
            {"hidden", config.hidden},
            {"layers", config.layers}};
  if (config.cell == Cell::kGru) {
    json["gru_reset"] = to_string(gru_reset(config));
  }
  if (config.dropout > 0) {
    json["dropout"] = config.dropout;
  }
  return json;
}

ModelConfig model_config_from(const nlohmann::json& json) {
  ModelConfig config;
  config.model = parse_model_kind(json.at("model").get<std::string>());
  config.cell = parse_cell(json.at("cell").get<std::string>());
  config.hidden = value_of<int64_t>(json.at("hidden"), "hidden");
  config.layers = value_of<int64_t>(json.at("layers"), "layers");
  read(json, "gru_reset", config.gru_reset, parse_gru_reset);
  read(json, "dropout", config.dropout);
  check(config);
  return config;
}

Json to_json(const CorpusOptions& options) {
  return {{"tokens", to_string(options.text.tokens)},
          {"normalize", to_string(options.text.normalize)},
          {"invalid_utf8", to_string(options.text.invalid_utf8)},
          {"max_tokens", options.max_tokens},
          {"min_freq", options.min_freq},
          {"vocab_size", options.vocab_size}};
}

CorpusOptions corpus_options_from(const nlohmann::json& json) {
  CorpusOptions options;
  read(json, "tokens", options.text.tokens, parse_token_kind);
  read(json, "normalize", options.text.normalize, parse_normalize);
  read(json, "max_tokens", options.max_tokens);
  read(json, "invalid_utf8", options.text.invalid_utf8, parse_invalid_utf8);
  read(json, "min_freq", options.min_freq);
  read(json, "vocab_size", options.vocab_size);
  check(options);
  return options;
}

Json to_json(const DataOptions& options) {
  Json json{{"batch_size", options.batch_size},
            {"num_steps", options.num_steps},
            {"sampling", to_string(options.sampling)},
            {"seed", options.seed}};
  if (options.offset) {
    json["offset"] = *options.offset;
  }
  return json;
}

DataOptions data_options_from(const nlohmann::json& json) {
  DataOptions options;
  read(json, "batch_size", options.batch_size);
  read(json, "num_steps", options.num_steps);
  read(json, "sampling", options.sampling, parse_sampling);
  read(json, "seed", options.seed);
  read(json, "offset", options.offset);
  check(options);
  return options;
}

Json to_json(const TrainOptions& options) {
  Json json{{"epochs", options.epochs},
            {"lr", options.lr},
            {"clip", options.clip},
            {"optimizer", to_string(options.optimizer)},
            {"momentum", options.momentum},
            {"schedule", to_string(options.schedule.schedule)},
            {"warmup", options.schedule.warmup},
            {"min_lr", options.schedule.min_lr},
            {"lr_decay", options.schedule.decay},
            {"lr_patience", options.schedule.patience},
            {"on_nonfinite", to_string(options.on_nonfinite)},
            {"valid_every", options.valid_every},
            {"patience", options.patience},
            {"every", options.every},
            {"predict", options.predict},
            {"prompt", options.prompts}};
  if (options.weight_decay) {
    json["weight_decay"] = *options.weight_decay;
  }
  return json;
}

TrainOptions train_options_from(const nlohmann::json& json) {
  TrainOptions options;
  read(json, "epochs", options.epochs);
  read(json, "lr", options.lr);
  read(json, "clip", options.clip);
  read(json, "optimizer", options.optimizer, parse_optimizer);
  read(json, "momentum", options.momentum);
  read(json, "weight_decay", options.weight_decay);
  read(json, "schedule", options.schedule.schedule, parse_schedule);
  read(json, "warmup", options.schedule.warmup);
  read(json, "min_lr", options.schedule.min_lr);
  read(json, "lr_decay", options.schedule.decay);
  read(json, "lr_patience", options.schedule.patience);
  read(json, "on_nonfinite", options.on_nonfinite, parse_on_nonfinite);
  read(json, "valid_every", options.valid_every);
  read(json, "patience", options.patience);
  read(json, "every", options.every);
  read(json, "predict", options.predict);
  read(json, "prompt", options.prompts);
  check(options);
  return options;
}

int64_t integer_at(const nlohmann::json& json, const char* key, int64_t least, int64_t most) {
  const auto& value = json.at(key);
  if (!is_integer<int64_t>(value) || value.get<int64_t>() < least || value.get<int64_t>() > most) {
    throw Error(formatted("{} must be an integer from {} to {}, got {}", key, least, most,
                          abridged(value.dump())));
  }
  return value.get<int64_t>();
}

}  // namespace unroll
