#include <torch/types.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/formatted.h"
#include "checkpoint/vocab_json.h"
#include "kernels/cell_table.h"
#include "models/cell_kind.h"
#include "models/weight_shapes.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using WeightMap = std::map<std::string, torch::Tensor>;

constexpr std::string_view kLayer = "rnn.";  // RNNModel's names for its parts
constexpr std::string_view kOutput = "linear.";
constexpr std::string_view kFirstWeight = "weight_ih_l0";

// `lstm.safetensors` -> `lstm.linear.safetensors`; any other name keeps what it has.
std::filesystem::path beside(std::filesystem::path path, const char* ending) {
  if (path.extension() == ".safetensors") {
    path.replace_extension();
  }
  return path += ending;
}
std::filesystem::path output_beside(const std::filesystem::path& path) {
  return beside(path, ".linear.safetensors");
}
std::filesystem::path vocab_beside(const std::filesystem::path& path) {
  return beside(path, ".vocab.json");
}

// The weights whose names begin so, without that beginning.
NamedTensors part_of(const NamedTensors& weights, std::string_view prefix) {
  NamedTensors part;
  for (const auto& [name, tensor] : weights) {
    if (name.starts_with(prefix)) {
      part.push_back({name.substr(prefix.size()), tensor});
    }
  }
  return part;
}

// The weights by their names, with a prefix, in float32.
WeightMap weights_of(const SafeTensors& content, std::string_view prefix = "") {
  WeightMap weights;
  for (const auto& [name, tensor] : content.tensors) {
    if (!tensor.is_floating_point()) {
      throw Error(
          formatted("its weight '{}' is of {}", name, torch::toString(tensor.scalar_type())));
    }
    weights.emplace(std::string(prefix) + name, tensor.to(torch::kFloat32));
  }
  return weights;
}

// As torch::nn's layers have them.
NamedTensors torch_weights(const Checkpoint& checkpoint) {
  const auto& config = checkpoint.config;
  if (config.cell == Cell::kMlp) {
    throw Error("torch.nn has no mlp; --names notebook writes its parameters");
  }
  if (config.model == ModelKind::kConcise) {
    return checkpoint.weights;
  }
  if (config.cell == Cell::kGru && config.gru_reset == GruReset::kBefore) {
    throw Error(
        "torch.nn.GRU resets after the product, this gru before it; --names notebook writes its "
        "parameters");
  }
  return concise_weights(config.cell, checkpoint.weights);
}

std::string vocab_json(const Checkpoint& checkpoint) {
  nlohmann::ordered_json json;
  add_vocab(json, checkpoint.vocab, checkpoint.text);
  try {
    return json.dump(1) + "\n";
  } catch (const nlohmann::json::exception& error) {
    throw Error(formatted("the vocabulary cannot be stored: {}", error.what()));
  }
}

void load_vocab(const std::filesystem::path& path, Checkpoint& checkpoint) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(formatted(
        R"({}: cannot be opened; it must hold {{"tokens": "char", "normalize": "letters", "vocab": ["<unk>", ...]}})",
        path.string()));
  }
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  try {
    const auto json = parse_shallow(text);
    if (!json.is_object()) {
      throw Error("it is not a JSON object");
    }
    checkpoint.vocab = vocab_from(json, checkpoint.text);
  } catch (const nlohmann::json::exception& error) {
    throw Error(formatted("{}: is no vocabulary ({})", path.string(), error.what()));
  } catch (const Error& error) {
    throw Error(formatted("{}: is no vocabulary: {}", path.string(), error.what()));
  }
}

// The cell of a torch::nn layer with so many gates. Whether an RNN's is tanh or ReLU no weight
// tells.
Cell cell_of_gates(int64_t gates, std::optional<Cell> said) {
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
    const auto table = table_of(cell_kind({.model = ModelKind::kConcise, .cell = cell}));
    if (table.gate_count == gates && (!said || *said == cell)) {
      return cell;
    }
  }
  throw Error(said ? formatted("its weights have {} gates, which is no {}", gates, to_string(*said))
                   : formatted("its weights have {} gates, expected 1, 3 or 4", gates));
}

// The output layer's name: the only other weights are its own, with or without a bias.
std::string output_name(const WeightMap& others, const std::filesystem::path& path) {
  if (others.empty()) {
    throw Error(formatted("it has no output layer: neither it nor {} has a Linear's weight",
                          output_beside(path).filename().string()));
  }
  const auto& last = others.rbegin()->first;  // a weight comes after a bias
  if (last.ends_with("weight")) {
    auto name = last.substr(0, last.size() - std::string_view("weight").size());
    if (others.size() == 1 + others.count(name + "bias")) {
      return name;
    }
  }
  throw Error(formatted("'{}' is neither the recurrent layer's nor a single Linear's",
                        others.begin()->first));
}

// The bias that makes no difference beside such a weight, (outputs, inputs).
torch::Tensor zeros_for(const torch::Tensor& weight) {
  return torch::zeros({weight.dim() == 0 ? 0 : weight.size(0)});
}

// Names and shapes as RNNModel has them; completes the description.
NamedTensors from_torch(WeightMap tensors, std::optional<Cell> cell,
                        const std::filesystem::path& path, ModelConfig& config) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [](const auto& tensor) {
    return tensor.first.ends_with(kFirstWeight);
  });
  const auto layer = found->first.substr(0, found->first.size() - kFirstWeight.size());
  const bool has_biases = std::any_of(tensors.begin(), tensors.end(), [&](const auto& tensor) {
    return tensor.first.starts_with(layer + "bias_");
  });
  NamedTensors weights;
  for (int64_t l = 0; tensors.contains(formatted("{}weight_ih_l{}", layer, l)); ++l) {
    config.layers = l + 1;
    for (const char* kind : {"weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"}) {
      const auto name = formatted("{}{}", kind, l);
      if (auto tensor = tensors.extract(layer + name); !tensor.empty()) {
        weights.push_back({std::string(kLayer) + name, tensor.mapped()});
      } else if (name.starts_with("bias") && !has_biases) {
        weights.push_back({std::string(kLayer) + name, zeros_for(weights.front().tensor)});
      }
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (name.ends_with("_reverse") || name.starts_with(layer + "weight_hr_l")) {
      throw Error(formatted("'{}': a layer {} is not read", name,
                            name.ends_with("_reverse") ? "of both directions" : "with proj_size"));
    }
  }
  if (const auto beside = output_beside(path); tensors.empty() && std::filesystem::exists(beside)) {
    tensors = weights_of(load_safetensors(beside), kOutput);
  }
  const auto output = output_name(tensors, path);
  const auto& W = tensors.at(output + "weight");
  const auto bias = tensors.find(output + "bias");
  weights.push_back({"linear.weight", W});
  weights.push_back({"linear.bias", bias == tensors.end() ? zeros_for(W) : bias->second});

  const auto& W_hh = tensor_named(weights, "rnn.weight_hh_l0");
  if (W_hh.dim() != 2 || W_hh.size(1) < 1) {
    throw Error(formatted("weight_hh_l0 must have shape [gates x hidden, hidden], got [{}]",
                          joined(W_hh.sizes(), ", ")));
  }
  config.model = ModelKind::kConcise;
  config.hidden = W_hh.size(1);
  config.cell = cell_of_gates(W_hh.size(0) / config.hidden, cell);
  return weights;
}

// The same for the notebook's names, of one of its cells.
NamedTensors from_notebook(const WeightMap& tensors, std::optional<Cell> said,
                           ModelConfig& config) {
  config.model = ModelKind::kScratch;
  const auto& W_hq = tensors.at("W_hq");
  config.hidden = W_hq.dim() == 2 ? W_hq.size(0) : 0;
  const auto has = [&](const char* name) { return tensors.contains(name); };
  config.cell = has("W_xi")   ? Cell::kLstm
                : has("W_xz") ? Cell::kGru
                : has("W_hh") ? (said == Cell::kRnnRelu ? Cell::kRnnRelu : Cell::kRnn)
                              : Cell::kMlp;
  if (said && *said != config.cell) {
    throw Error(formatted("its weights are of a {}, not of a {}", to_string(config.cell),
                          to_string(*said)));
  }
  if (config.cell == Cell::kGru) {
    config.gru_reset = has("b_hh") ? GruReset::kAfter : GruReset::kBefore;
  }
  NamedTensors weights;
  for (const auto& [name, tensor] : tensors) {
    weights.push_back({name, tensor});
  }
  return weights;
}

}  // namespace

StateDictNames default_names(const Checkpoint& checkpoint) {
  return checkpoint.config.model == ModelKind::kScratch ? StateDictNames::kNotebook
                                                        : StateDictNames::kTorch;
}

std::vector<std::filesystem::path> state_dict_files(const std::filesystem::path& path,
                                                    StateDictNames names) {
  return names == StateDictNames::kTorch
             ? std::vector{path, output_beside(path), vocab_beside(path)}
             : std::vector{path, vocab_beside(path)};
}

void save_state_dict(const std::filesystem::path& path, const Checkpoint& checkpoint,
                     StateDictNames names) {
  // All that can be wrong is found before the first file is replaced; the layer's comes last.
  const auto& config = checkpoint.config;
  const auto vocab = vocab_json(checkpoint);
  ordered_weights(config, checkpoint.vocab.size(), checkpoint.weights);
  check_tokens_of(checkpoint.vocab);
  // What no weight tells; "format" is what other readers look at.
  std::map<std::string, std::string> metadata{{"format", "pt"},
                                              {"cell", std::string(to_string(config.cell))}};
  NamedTensors weights;
  if (names == StateDictNames::kTorch) {
    weights = torch_weights(checkpoint);
    metadata["dropout"] = formatted("{}", config.dropout);
  } else {
    const bool is_scratch = config.model == ModelKind::kScratch;
    weights = is_scratch ? checkpoint.weights : scratch_weights(config, checkpoint.weights);
  }
  AtomicFile file(vocab_beside(path));
  file.write(vocab.data(), vocab.size());
  file.commit();
  if (names == StateDictNames::kTorch) {
    save_safetensors(output_beside(path),
                     {.tensors = part_of(weights, kOutput), .metadata = {{"format", "pt"}}});
    weights = part_of(weights, kLayer);
  }
  save_safetensors(path, {.tensors = weights, .metadata = metadata});
}

Checkpoint load_state_dict(const std::filesystem::path& path, std::optional<Cell> cell) {
  const auto content = load_safetensors(path);
  Checkpoint checkpoint;
  load_vocab(vocab_beside(path), checkpoint);
  try {
    if (const auto said = content.metadata.find("cell"); !cell && said != content.metadata.end()) {
      cell = parse_enum<Cell>(said->second);
    }
    auto tensors = weights_of(content);
    const bool is_torch = std::any_of(tensors.begin(), tensors.end(), [](const auto& tensor) {
      return tensor.first.ends_with(kFirstWeight);
    });
    if (!is_torch && !tensors.contains("W_hq")) {
      throw Error("it has neither weight_ih_l0, as torch.nn's layers, nor the notebook's W_hq");
    }
    auto& config = checkpoint.config;
    if (const auto said = content.metadata.find("dropout");
        is_torch && said != content.metadata.end()) {
      config.dropout = std::strtod(said->second.c_str(), nullptr);
    }
    const auto weights = is_torch ? from_torch(std::move(tensors), cell, path, config)
                                  : from_notebook(tensors, cell, config);
    check(config);
    config = resolved(config);
    checkpoint.weights = ordered_weights(config, checkpoint.vocab.size(), weights);
  } catch (const Error& error) {
    throw Error(formatted("{}: is no state dict of a model: {}", path.string(), error.what()));
  }
  return checkpoint;
}

}  // namespace unroll
