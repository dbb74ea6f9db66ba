#include "unroll/checkpoint.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "unroll/error.h"
#include "unroll/safetensors.h"

namespace unroll {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "unroll";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kModelPrefix = "model.";

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

std::vector<std::string> tokens_from_json(const Json& tokens, TokenKind kind) {
  std::vector<std::string> result;
  for (const auto& token : tokens) {
    if (token.is_number() && kind == TokenKind::kByte) {
      const auto byte = token.get<int64_t>();
      if (byte < 0 || byte > 255) {
        throw Error(fmt::format("a byte must be in [0, 255], got {}", byte));
      }
      result.emplace_back(1, static_cast<char>(byte));
    } else {
      result.push_back(token.get<std::string>());
      if (kind == TokenKind::kByte && result.back().size() == 1) {
        throw Error(fmt::format("a byte must be an integer, got '{}'", result.back()));
      }
    }
  }
  return result;
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  Json config{{"model", to_string(checkpoint.config.model)},
              {"cell", to_string(checkpoint.config.cell)},
              {"hidden", checkpoint.config.hidden},
              {"layers", checkpoint.config.layers}};
  if (checkpoint.config.cell == Cell::kGru) {
    config["gru_reset"] = to_string(gru_reset(checkpoint.config));
  }
  config["tokens"] = to_string(checkpoint.text.tokens);
  config["normalize"] = to_string(checkpoint.text.normalize);
  config["epochs"] = checkpoint.epochs;
  config["perplexity"] = checkpoint.perplexity;
  config["vocab"] = tokens_to_json(checkpoint.vocab);

  std::string config_text;
  try {
    config_text = config.dump();
  } catch (const Json::exception& error) {
    throw Error(
        fmt::format("{}: the vocabulary cannot be stored: {}", path.string(), error.what()));
  }
  SafeTensors content{.tensors = {},
                      .metadata = {{"format", std::string(kFormat)},
                                   {"version", std::string(kVersion)},
                                   {"config", config_text}}};
  for (const auto& [name, tensor] : checkpoint.weights) {
    content.tensors.push_back({std::string(kModelPrefix) + name, tensor});
  }
  save_safetensors(path, content);
}

Checkpoint load_checkpoint(const std::filesystem::path& path) {
  const auto fail = [&](const std::string& what) -> void {
    throw Error(fmt::format("{}: is not an unroll checkpoint: {}", path.string(), what));
  };
  auto content = load_safetensors(path);
  const auto metadata = [&](const char* key) {
    const auto found = content.metadata.find(key);
    return found == content.metadata.end() ? std::string() : found->second;
  };
  if (metadata("format") != kFormat) {
    fail(fmt::format("its format is '{}', expected '{}'", metadata("format"), kFormat));
  }
  if (metadata("version") != kVersion) {
    fail(fmt::format("its version is '{}', expected '{}'", metadata("version"), kVersion));
  }

  Checkpoint checkpoint;
  try {
    const auto config = Json::parse(metadata("config"));
    const auto text = [&](const char* key) { return config.at(key).get<std::string>(); };
    checkpoint.config.model = parse_model_kind(text("model"));
    checkpoint.config.cell = parse_cell(text("cell"));
    checkpoint.config.hidden = config.at("hidden").get<int64_t>();
    checkpoint.config.layers = config.at("layers").get<int64_t>();
    if (config.contains("gru_reset")) {
      checkpoint.config.gru_reset = parse_gru_reset(text("gru_reset"));
    }
    check(checkpoint.config);
    checkpoint.text = {.normalize = parse_normalize(text("normalize")),
                       .tokens = parse_token_kind(text("tokens"))};
    checkpoint.vocab = Vocab::from_tokens(
        tokens_from_json(config.at("vocab"), checkpoint.text.tokens), checkpoint.text.tokens);
    checkpoint.epochs = config.at("epochs").get<int64_t>();
    if (checkpoint.epochs < 0) {
      throw Error(fmt::format("epochs must be >= 0, got {}", checkpoint.epochs));
    }
    checkpoint.perplexity = config.at("perplexity").get<double>();
  } catch (const Json::exception& error) {
    fail(fmt::format("its config cannot be read ({})", error.what()));
  } catch (const Error& error) {
    fail(error.what());
  }
  int64_t found = 0;
  for (auto& [name, tensor] : content.tensors) {
    if (std::string_view(name).starts_with(kModelPrefix)) {
      found += tensor.numel();
      checkpoint.weights.push_back({name.substr(kModelPrefix.size()), std::move(tensor)});
    }
  }
  const int64_t expected = parameter_count(checkpoint.config, checkpoint.vocab.size());
  if (found != expected) {
    fail(fmt::format(
        "its weights have {} values, expected {} for hidden {}, layers {} and {} tokens", found,
        expected, checkpoint.config.hidden, checkpoint.config.layers, checkpoint.vocab.size()));
  }
  return checkpoint;
}

std::unique_ptr<SequenceModel> make_model(const Checkpoint& checkpoint, torch::Device device) {
  auto model = make_model(checkpoint.config, checkpoint.vocab.size(), device);
  try {
    load_weights(*model, checkpoint.weights);
  } catch (const Error& error) {
    throw Error(
        fmt::format("the checkpoint's weights do not fit its description: {}", error.what()));
  }
  return model;
}

}  // namespace unroll
