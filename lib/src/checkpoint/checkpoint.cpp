#include "unroll/checkpoint.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "checkpoint/options_json.h"
#include "checkpoint/train_record.h"
#include "text/token_cutter.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "unroll";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kModelPrefix = "model.";
constexpr int kMostLevels = 8;  // of a config's JSON, which has four

// A byte need not be a character: bytes are stored as integers, all other tokens as strings.
Json tokens_to_json(const Vocab& vocab) {
  Json tokens = Json::array();
  for (const auto& token : vocab.tokens()) {
    if (vocab.kind() == TokenKind::kByte && token.size() == 1) {
      tokens.push_back(static_cast<unsigned char>(token[0]));
    } else {
      tokens.push_back(token);
    }
  }
  return tokens;
}

// Throws Error unless a string can be a token of this kind.
void check_token(const std::string& token, TokenKind kind) {
  if (kind == TokenKind::kByte) {
    throw Error(formatted("a byte must be an integer, got '{}'", token));
  }
  if (token.empty()) {
    throw Error("a token must not be empty");
  }
  if (!is_token(token, kind)) {
    throw Error(formatted("a token by char must be one code point, got '{}'", token));
  }
}

std::vector<std::string> tokens_from_json(const nlohmann::json& tokens, TokenKind kind) {
  std::vector<std::string> result;
  result.reserve(tokens.size());
  for (const auto& token : tokens) {
    if (token.is_number() && kind == TokenKind::kByte) {
      if (!token.is_number_unsigned() || token.get<uint64_t>() > 255) {
        throw Error(formatted("a byte must be in [0, 255], got {}", token.dump()));
      }
      result.emplace_back(1, static_cast<char>(token.get<uint64_t>()));
    } else {
      result.push_back(token.get<std::string>());
      if (result.size() > 1) {  // the first is <unk>
        check_token(result.back(), kind);
      }
    }
  }
  return result;
}

// What walks through JSON calls itself for each level, so that a file could have it use up the
// stack: text of more levels than a checkpoint has is refused as it is read.
nlohmann::json parse_config(const std::string& text) {
  return nlohmann::json::parse(
      text, [](int level, nlohmann::json::parse_event_t /*event*/, nlohmann::json& /*value*/) {
        if (level > kMostLevels) {
          throw Error(formatted("its config has more than {} levels", kMostLevels));
        }
        return true;
      });
}

// A key of options_json.h as the command line writes it.
std::string flag_of(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return key;
}

std::string value_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// Whether an option is left empty.
bool is_empty(const Json& value) {
  return value.is_string() && value.get_ref<const std::string&>().empty();
}

// Throws UsageError, naming the first option whose value differs.
void require_equal(const Json& saved, const Json& asked) {
  auto all = saved;
  all.update(asked);
  const auto value_in = [](const Json& json, const std::string& key) {
    return json.contains(key) && !is_empty(json[key]) ? value_of(json[key]) : "none";
  };
  for (const auto& [key, value] : all.items()) {
    const auto before = value_in(saved, key);
    const auto now = value_in(asked, key);
    if (before != now) {
      throw UsageError(
          formatted("{} {} cannot go on from the checkpoint's {}: a resumed training keeps it",
                    flag_of(key), now, before));
    }
  }
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  Json config = to_json(checkpoint.config);
  config["tokens"] = to_string(checkpoint.text.tokens);
  config["normalize"] = to_string(checkpoint.text.normalize);
  config["invalid_utf8"] = to_string(checkpoint.text.invalid_utf8);
  config["epochs"] = checkpoint.epochs;
  config["perplexity"] = checkpoint.perplexity;
  if (checkpoint.training) {
    config["training"] = to_json(*checkpoint.training);
  }
  config["vocab"] = tokens_to_json(checkpoint.vocab);

  std::string config_text;
  try {
    config_text = config.dump();
  } catch (const Json::exception& error) {
    throw Error(formatted("{}: the vocabulary cannot be stored: {}", path.string(), error.what()));
  }
  SafeTensors content{.tensors = {},
                      .metadata = {{"format", std::string(kFormat)},
                                   {"version", std::string(kVersion)},
                                   {"config", config_text}}};
  for (const auto& [name, tensor] : checkpoint.weights) {
    content.tensors.push_back({std::string(kModelPrefix) + name, tensor});
  }
  if (checkpoint.training) {
    for (auto& tensor : tensors_of(*checkpoint.training)) {
      content.tensors.push_back(std::move(tensor));
    }
  }
  save_safetensors(path, content);
}

Checkpoint load_checkpoint(const std::filesystem::path& path) {
  const auto fail = [&](const std::string& what) -> void {
    throw Error(formatted("{}: is not an unroll checkpoint: {}", path.string(), what));
  };
  auto content = load_safetensors(path);
  const auto metadata = [&](const char* key) {
    const auto found = content.metadata.find(key);
    return found == content.metadata.end() ? std::string() : found->second;
  };
  if (metadata("format") != kFormat) {
    fail(formatted("its format is '{}', expected '{}'", metadata("format"), kFormat));
  }
  if (metadata("version") != kVersion) {
    fail(formatted("its version is '{}', expected '{}'", metadata("version"), kVersion));
  }

  Checkpoint checkpoint;
  try {
    const auto config = parse_config(metadata("config"));
    const auto text = [&](const char* key) { return config.at(key).get<std::string>(); };
    checkpoint.config = model_config_from(config);
    checkpoint.text = {.normalize = parse_normalize(text("normalize")),
                       .tokens = parse_token_kind(text("tokens")),
                       .invalid_utf8 = config.contains("invalid_utf8")
                                           ? parse_invalid_utf8(text("invalid_utf8"))
                                           : InvalidUtf8::kRefuse};
    checkpoint.vocab = Vocab::from_tokens(
        tokens_from_json(config.at("vocab"), checkpoint.text.tokens), checkpoint.text.tokens);
    checkpoint.epochs = integer_at(config, "epochs", 0, std::numeric_limits<int64_t>::max());
    checkpoint.perplexity = config.at("perplexity").get<double>();
    if (config.contains("training")) {
      checkpoint.training = train_record_from(config.at("training"), content.tensors);
    }
  } catch (const Json::exception& error) {
    fail(formatted("its config cannot be read ({})", error.what()));
  } catch (const Error& error) {
    fail(error.what());
  }
  int64_t found = 0;
  for (auto& [name, tensor] : content.tensors) {
    if (std::string_view(name).starts_with(kModelPrefix)) {
      if (!tensor.is_floating_point()) {
        fail(formatted("its weight '{}' is of {}", name, torch::toString(tensor.scalar_type())));
      }
      found += tensor.numel();
      checkpoint.weights.push_back({name.substr(kModelPrefix.size()), std::move(tensor)});
    }
  }
  const int64_t expected = parameter_count(checkpoint.config, checkpoint.vocab.size());
  if (found != expected) {
    fail(formatted("its weights have {} values, expected {} for hidden {}, layers {} and {} tokens",
                   found, expected, checkpoint.config.hidden, checkpoint.config.layers,
                   checkpoint.vocab.size()));
  }
  return checkpoint;
}

std::unique_ptr<SequenceModel> make_model(const Checkpoint& checkpoint, torch::Device device) {
  auto model = make_model(checkpoint.config, checkpoint.vocab.size(), device);
  try {
    load_weights(*model, checkpoint.weights);
  } catch (const Error& error) {
    throw Error(formatted("the checkpoint's weights do not fit its description: {}", error.what()));
  }
  return model;
}

void check(const TrainRecord& record) {
  auto texts = record.texts;
  texts.push_back(record.valid_text);
  texts.insert(texts.end(), record.options.prompts.begin(), record.options.prompts.end());
  for (const auto& [name, value] : record.settings) {
    texts.push_back(value);
  }
  for (const auto& text : texts) {
    try {
      static_cast<void>(Json(text).dump());
    } catch (const Json::exception&) {
      throw Error(formatted("'{}' is not valid UTF-8, which a checkpoint cannot hold", text));
    }
  }
}

std::map<std::string, std::vector<std::string>> option_values(const Checkpoint& checkpoint) {
  std::map<std::string, std::vector<std::string>> values;
  if (!checkpoint.training) {
    return values;
  }
  const auto& record = *checkpoint.training;
  const auto add = [&](const std::string& key, const Json& value) {
    auto& texts = values[flag_of(key)];
    texts.clear();
    if (value.is_array()) {
      std::transform(value.begin(), value.end(), std::back_inserter(texts), value_of);
    } else if (!is_empty(value)) {
      texts.push_back(value_of(value));
    }
  };
  add("text", record.texts);
  add("valid", record.valid_share > 0 ? Json(record.valid_share) : Json(record.valid_text));
  add("precision", to_string(record.precision));
  for (const auto& options : {to_json(checkpoint.config), to_json(record.corpus),
                              to_json(record.data), to_json(record.options)}) {
    for (const auto& [key, value] : options.items()) {
      add(key, value);
    }
  }
  for (const auto& [key, value] : record.settings) {
    add(key, value);
  }
  std::erase_if(values, [](const auto& option) { return option.second.empty(); });
  return values;
}

void check_resumable(const Checkpoint& saved, const ModelConfig& config, const TrainRecord& asked) {
  if (!saved.training) {
    throw Error("the checkpoint holds a model alone, no training to go on from");
  }
  const auto parameters = [](const ModelConfig& of) {
    auto json = to_json(parameter_model(of));
    json["dropout"] = of.dropout;
    // Last, as it follows from the others where the model is fused.
    const auto model = json["model"];
    json.erase("model");
    json["model"] = model;
    return json;
  };
  const auto updater = [](const TrainOptions& options) {
    return Json{{"optimizer", to_string(options.optimizer)}, {"momentum", options.momentum}};
  };
  require_equal(parameters(saved.config), parameters(config));
  require_equal(to_json(saved.training->corpus), to_json(asked.corpus));
  require_equal(to_json(saved.training->data), to_json(asked.data));
  require_equal(updater(saved.training->options), updater(asked.options));
  // A text that was moved is still the same.
  const auto valid = [](const TrainRecord& record) {
    return Json{{"valid", record.valid_share > 0      ? Json(record.valid_share)
                          : record.valid_text.empty() ? Json("")
                                                      : Json("text")}};
  };
  require_equal(valid(*saved.training), valid(asked));
}

}  // namespace unroll
