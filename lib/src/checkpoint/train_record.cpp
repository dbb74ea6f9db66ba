#include "checkpoint/train_record.h"

#include <ATen/Version.h>
#include <torch/version.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/formatted.h"
#include "checkpoint/options_json.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kStatsColumns = 8;
constexpr int64_t kFewestStatsColumns = 7;  // in files from before the last one was known

// (E,8) float64, a row an epoch: EpochStats without its number, not-a-number for no validation.
torch::Tensor to_tensor(const std::vector<EpochStats>& history) {
  auto table = torch::empty({static_cast<int64_t>(history.size()), kStatsColumns}, torch::kFloat64);
  auto* row = table.mutable_data_ptr<double>();
  for (const auto& stats : history) {
    const double values[kStatsColumns]{
        stats.perplexity,
        stats.tokens_per_second,
        stats.grad_norm,
        stats.seconds,
        stats.lr,
        static_cast<double>(stats.skipped),
        stats.valid_perplexity.value_or(std::numeric_limits<double>::quiet_NaN()),
        stats.valid_known_perplexity.value_or(std::numeric_limits<double>::quiet_NaN())};
    row = std::copy(std::begin(values), std::end(values), row);
  }
  return table;
}

std::vector<EpochStats> history_from(const torch::Tensor& table) {
  const int64_t columns = table.dim() == 2 ? table.size(1) : 0;
  if (columns < kFewestStatsColumns || columns > kStatsColumns ||
      table.scalar_type() != torch::kFloat64) {
    throw Error(formatted("its history is not a table of {} columns", kStatsColumns));
  }
  std::vector<EpochStats> history;
  history.reserve(static_cast<std::size_t>(table.size(0)));
  const auto* row = table.const_data_ptr<double>();
  for (int64_t e = 0; e < table.size(0); ++e, row += columns) {
    auto& stats = history.emplace_back();
    stats.epoch = e + 1;
    stats.perplexity = row[0];
    stats.tokens_per_second = row[1];
    stats.grad_norm = row[2];
    stats.seconds = row[3];
    stats.lr = row[4];
    stats.skipped = row[5] >= 0 && row[5] < 0x1p53 ? static_cast<int64_t>(row[5]) : 0;
    if (!std::isnan(row[6])) {
      stats.valid_perplexity = row[6];
    }
    if (columns == kStatsColumns && !std::isnan(row[7])) {
      stats.valid_known_perplexity = row[7];
    }
  }
  return history;
}

// Those whose name begins with `prefix`, without it.
NamedTensors with_prefix(const NamedTensors& tensors, std::string_view prefix) {
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) {
    if (std::string_view(name).starts_with(prefix)) {
      result.push_back({name.substr(prefix.size()), tensor});
    }
  }
  return result;
}

// Those that are named 0, 1, 2 and so on, each once.
std::vector<torch::Tensor> numbered(const NamedTensors& tensors) {
  std::vector<torch::Tensor> result(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    std::size_t i = tensors.size();
    std::from_chars(name.data(), name.data() + name.size(), i);
    if (i >= result.size() || name != formatted("{}", i)) {
      throw Error(formatted("there are {} carried states, got number {}", result.size(), name));
    }
    result[i] = tensor;
  }
  return result;
}

torch::Tensor find(const NamedTensors& tensors, std::string_view name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& t) { return t.name == name; });
  return found == tensors.end() ? torch::Tensor() : found->tensor;
}

// So many that each is exact as a double, too.
int64_t count(const nlohmann::json& json, const char* key) {
  return integer_at<int64_t>(json, key, 0, int64_t{1} << 53);
}

// Calls visit(object, key, number) for each whole number of a training's state (TrainState).
template <typename State, typename Visit>
void for_each_count(State& state, const Visit& visit) {
  visit("progress", "epoch", state.progress.epoch);
  visit("progress", "batch", state.progress.batch);
  visit("progress", "tokens", state.progress.sums.tokens);
  visit("progress", "steps", state.progress.sums.steps);
  visit("best", "epoch", state.best.epoch);
  visit("best", "waiting", state.best.waiting);
  visit("best", "stale", state.best.stale);
  visit("best", "decays", state.best.decays);
}

// Throws Error for a key that this version does not know.
void check_training_keys(const nlohmann::json& json) {
  std::set<std::string> keys;
  const TrainRecord any;
  const auto written = to_json(any);
  for (const auto& [key, value] : written.items()) {
    keys.insert(key);
  }
  require_known_keys(json, keys, "its training");
  require_known_keys(json.at("corpus"), keys_of<CorpusOptions>(), "its corpus");
  require_known_keys(json.at("data"), keys_of<DataOptions>(), "its data");
  require_known_keys(json.at("options"), keys_of<TrainOptions>(), "its options");
  require_known_keys(json.at("progress"), {"epoch", "batch", "tokens", "steps", "seconds"},
                     "its progress");
  require_known_keys(json.at("best"), {"epoch", "waiting", "stale", "decays", "perplexity"},
                     "its best");
}

}  // namespace

std::string build_of_this() {
  return formatted("LibTorch {}, {}", TORCH_VERSION, at::get_cpu_capability());
}

Json to_json(const TrainRecord& record) {
  Json json{{"text", record.texts},
            {"text_bytes", record.fingerprint.bytes},
            {"text_hash", record.fingerprint.hash},
            {"valid_share", record.valid_share},
            {"valid_text", record.valid_text},
            {"valid_bytes", record.valid_fingerprint.bytes},
            {"valid_hash", record.valid_fingerprint.hash},
            {"corpus", to_json(record.corpus)},
            {"data", to_json(record.data)},
            {"options", to_json(record.options)},
            {"progress", {}},
            {"best", {}},
            {"settings", record.settings},
            {"build", record.build},
            {"chosen", to_string(record.chosen)}};
  for_each_count(record.state, [&](const char* object, const char* key, int64_t number) {
    json[object][key] = number;
  });
  json["progress"]["seconds"] = record.state.progress.sums.seconds;
  if (const double best = record.state.best.perplexity; std::isfinite(best)) {
    json["best"]["perplexity"] = best;  // JSON has no infinity
  }
  json.update(to_json(record.compute));
  return json;
}

NamedTensors tensors_of(const TrainRecord& record) {
  const auto& state = record.state;
  NamedTensors tensors;
  const auto add = [&](const std::string& name, const torch::Tensor& tensor) {
    if (tensor.defined()) {
      tensors.push_back({name, tensor});
    }
  };
  for (const auto& [name, tensor] : state.updater) {
    add("updater." + name, tensor);
  }
  const auto& sums = state.progress.sums;
  add("sums.loss", sums.loss);
  add("sums.grad_norm", sums.grad_norm);
  add("sums.nonfinite", sums.nonfinite);
  // The first batch of an epoch starts from zeros.
  if (state.progress.batch > 0) {
    for (std::size_t i = 0; i < state.progress.carry.size(); ++i) {
      add(formatted("carry.{}", i), state.progress.carry[i]);
    }
  }
  add("rng.cpu", state.cpu_generator);
  add("rng.cuda", state.cuda_generator);
  add("history", to_tensor(state.history));
  return tensors;
}

bool is_of_training(std::string_view name) {
  constexpr std::string_view kNames[] = {"sums.loss", "sums.grad_norm", "sums.nonfinite",
                                         "rng.cpu",   "rng.cuda",       "history"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
         name.starts_with("updater.") || name.starts_with("carry.");
}

TrainRecord train_record_from(const nlohmann::json& json, const NamedTensors& tensors) {
  check_training_keys(json);
  TrainRecord record;
  record.texts = json.at("text").get<std::vector<std::string>>();
  record.fingerprint.bytes = count(json, "text_bytes");
  record.fingerprint.hash = json.at("text_hash").get<std::string>();
  record.valid_share = json.at("valid_share").get<double>();
  record.valid_text = json.at("valid_text").get<std::string>();
  record.valid_fingerprint.bytes = count(json, "valid_bytes");
  record.valid_fingerprint.hash = json.at("valid_hash").get<std::string>();
  read_json(json.at("corpus"), record.corpus);
  check(record.corpus);
  read_json(json.at("data"), record.data);
  check(record.data);
  read_json(json.at("options"), record.options);
  check(record.options);
  record.settings = json.at("settings").get<std::map<std::string, std::string>>();
  read_json(json, record.compute);
  if (const auto graph = record.settings.find("graph"); graph != record.settings.end()) {
    record.compute.graph = parse_enum<GraphMode>(graph->second);  // where it was once kept
    record.settings.erase(graph);
  }
  record.build = json.value("build", record.build);
  if (json.contains("chosen")) {
    record.chosen = parse_enum<Backend>(json.at("chosen").get<std::string>());
  }

  for_each_count(record.state, [&](const char* object, const char* key, int64_t& number) {
    number = count(json.at(object), key);
  });
  auto& progress = record.state.progress;
  auto& sums = progress.sums;
  sums.seconds = json.at("progress").value("seconds", 0.0);
  sums.loss = find(tensors, "sums.loss");
  sums.grad_norm = find(tensors, "sums.grad_norm");
  sums.nonfinite = find(tensors, "sums.nonfinite");
  progress.carry = numbered(with_prefix(tensors, "carry."));
  auto& best = record.state.best;
  best.perplexity = json.at("best").value("perplexity", best.perplexity);
  record.state.updater = with_prefix(tensors, "updater.");
  record.state.cpu_generator = find(tensors, "rng.cpu");
  record.state.cuda_generator = find(tensors, "rng.cuda");
  record.state.history = history_from(tensor_named(tensors, "history"));
  return record;
}

}  // namespace unroll
