#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/abridged.h"
#include "base/formatted.h"
#include "checkpoint/options_json.h"
#include "checkpoint/train_record.h"
#include "checkpoint/vocab_json.h"
#include "infer/vocab_fits.h"
#include "models/weight_shapes.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "unroll";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kModelPrefix = "model.";

// The keys of a config: what each of a checkpoint's parts writes.
std::set<std::string> config_keys() {
  std::set<std::string> keys{"epochs", "perplexity", "training", "vocab"};
  keys.merge(keys_of<ModelConfig>());
  keys.merge(keys_of<TextOptions>());
  return keys;
}

// Throws Error unless all is there that a model and its text need, and nothing that this version
// does not know: it may change what the model computes.
void check_keys(const nlohmann::json& config) {
  if (!config.is_object()) {
    throw Error("its config is not a JSON object");
  }
  require_known_keys(config, config_keys(), "its config");
  require_fields<ModelConfig>(config, {"model", "cell", "hidden", "layers"});
}

// Reads a model's description, and who computed it in a file from before a description left that
// open: then the model `fused` stood for the default parameters and our kernels.
Backend read_model(const nlohmann::json& json, ModelConfig& config) {
  nlohmann::json description;
  ModelConfig::fields(config, [&](const auto&, const Field& field) {
    if (const auto key = json_key(field.name); json.contains(key)) {
      description[key] = json.at(key);
    }
  });
  const bool was_fused = description.at("model") == "fused";
  if (was_fused) {
    description.erase("model");
  }
  read_json(description, config);
  check(config);
  config = resolved(config);
  return was_fused ? Backend::kAuto : Backend::kPlain;
}

// Throws Error unless a file can hold this, and gives back the same model.
void check_writable(const Checkpoint& checkpoint) {
  const auto& [config, vocab, text, weights, epochs, perplexity, training] = checkpoint;
  ordered_weights(config, vocab.size(), weights);
  for (const auto& [name, tensor] : weights) {
    if (tensor.scalar_type() != torch::kFloat32) {
      throw Error(formatted("weight {} must be of Float, got {}", name,
                            torch::toString(tensor.scalar_type())));
    }
  }
  if (vocab.kind() != text.tokens) {
    throw Error(formatted("the vocabulary is of tokens by {}, but the text was read by {}",
                          to_string(vocab.kind()), to_string(text.tokens)));
  }
  check_tokens_of(vocab);
  if (epochs < 0) {
    throw Error(formatted("the epochs must be at least 0, got {}", epochs));
  }
}

// A file's weights as the model has them: float32, in its order. Throws Error for a tensor that is
// not known, missing or of another shape.
NamedTensors read_weights(const Checkpoint& checkpoint, NamedTensors tensors) {
  NamedTensors weights;
  for (auto& [name, tensor] : tensors) {
    if (std::string_view(name).starts_with(kModelPrefix)) {
      if (!tensor.is_floating_point()) {
        throw Error(
            formatted("its weight '{}' is of {}", name, torch::toString(tensor.scalar_type())));
      }
      weights.push_back({name.substr(kModelPrefix.size()), tensor.to(torch::kFloat32)});
    } else if (!checkpoint.training || !is_of_training(name)) {
      throw Error(formatted("its tensor '{}' is not known", abridged(name)));
    }
  }
  try {
    return ordered_weights(checkpoint.config, checkpoint.vocab.size(), weights);
  } catch (const Error& error) {
    throw Error(formatted("{} (for hidden {}, layers {} and {} tokens)", error.what(),
                          checkpoint.config.hidden, checkpoint.config.layers,
                          checkpoint.vocab.size()));
  }
}

}  // namespace

Checkpoint make_checkpoint(const SequenceModel& net, const Vocab& vocab, const TextOptions& text) {
  check_vocab_fits(net, vocab);
  Checkpoint checkpoint;
  checkpoint.config = net.config();
  checkpoint.vocab = vocab;
  checkpoint.text = text;
  checkpoint.weights = net.weights();
  check_writable(checkpoint);
  return checkpoint;
}

Checkpoint make_checkpoint(const SequenceModel& net, const Vocab& vocab, const TextOptions& text,
                           TrainRecord record, const Training& training) {
  auto checkpoint = make_checkpoint(net, vocab, text);
  record.state = training.state();
  if (record.compute.backend == Backend::kAuto && net.device().is_cuda()) {
    const auto used = training.effective_compute().backend;
    record.chosen = used == Backend::kPlain ? Backend::kAuto : used;
  }
  checkpoint.epochs = record.state.progress.epoch;
  checkpoint.perplexity = training.history().empty() ? 0 : training.history().back().perplexity;
  checkpoint.training = std::move(record);
  return checkpoint;
}

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  try {
    check_writable(checkpoint);
  } catch (const Error& error) {
    throw Error(formatted("{}: cannot be written: {}", path.string(), error.what()));
  }
  Json config = to_json(resolved(checkpoint.config));
  config["epochs"] = checkpoint.epochs;
  if (std::isfinite(checkpoint.perplexity)) {
    config["perplexity"] = checkpoint.perplexity;  // JSON has no infinity
  }
  if (checkpoint.training) {
    config["training"] = to_json(*checkpoint.training);
  }
  add_vocab(config, checkpoint.vocab, checkpoint.text);

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
    const auto config = parse_shallow(metadata("config"));
    check_keys(config);
    const auto backend = read_model(config, checkpoint.config);
    checkpoint.vocab = vocab_from(config, checkpoint.text);
    if (config.contains("epochs")) {
      checkpoint.epochs = integer_at<int64_t>(config, "epochs", 0);
    }
    checkpoint.perplexity = config.value("perplexity", 0.0);
    if (config.contains("training")) {
      const auto& training = config.at("training");
      checkpoint.training = train_record_from(training, content.tensors);
      if (!training.contains("compute")) {
        checkpoint.training->compute.backend = backend;
      }
    }
    checkpoint.weights = read_weights(checkpoint, std::move(content.tensors));
  } catch (const Json::exception& error) {
    fail(formatted("its config cannot be read ({})", error.what()));
  } catch (const Error& error) {
    fail(error.what());
  }
  return checkpoint;
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

}  // namespace unroll
