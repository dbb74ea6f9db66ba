// What begins from a checkpoint: a model, a training that goes on, another that takes its weights.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/formatted.h"
#include "checkpoint/options_json.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using Json = nlohmann::ordered_json;

// A key of options_json.h as the command line writes it.
std::string flag_of(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return key;
}

// Throws UsageError, naming the first option whose value differs; `who` keeps the checkpoint's.
void require_equal(const Json& saved, const Json& asked,
                   std::string_view who = "a resumed training") {
  auto all = saved;
  all.update(asked);
  const auto value_in = [](const Json& json, const std::string& key) {
    const auto found = json.find(key);
    if (found == json.end()) {
      return std::string("none");
    }
    const auto text = found->is_string() ? found->get<std::string>() : found->dump();
    return text.empty() ? std::string("none") : text;
  };
  for (const auto& [key, value] : all.items()) {
    const auto before = value_in(saved, key);
    const auto now = value_in(asked, key);
    if (before != now) {
      throw UsageError(formatted("{} {} differs from the checkpoint's {}, which {} keeps",
                                 flag_of(key), now, before, who));
    }
  }
}

}  // namespace

std::unique_ptr<SequenceModel> make_model(const Checkpoint& checkpoint, torch::Device device,
                                          const Compute& compute) {
  auto model = make_model(checkpoint.config, checkpoint.vocab.size(), device, compute);
  try {
    load_weights(*model, checkpoint.weights);
  } catch (const Error& error) {
    throw Error(formatted("the checkpoint's weights do not fit its description: {}", error.what()));
  }
  return model;
}

void init_weights(SequenceModel& net, const Checkpoint& from) {
  NamedTensors start;
  for (const auto& [name, weight] : net.weights()) {
    auto values = weight.detach().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true);
    const auto& known = tensor_named(from.weights, name);
    auto part = values;
    for (int64_t d = 0; d < std::min(part.dim(), known.dim()); ++d) {
      if (part.size(d) == net.vocab_size() && known.size(d) == from.vocab.size()) {
        part = part.narrow(d, 0, std::min(part.size(d), known.size(d)));
      }
    }
    if (part.sizes() != known.sizes()) {
      throw Error(formatted("{} has shape [{}], which [{}] of the checkpoint does not begin", name,
                            joined(weight.sizes(), ", "), joined(known.sizes(), ", ")));
    }
    part.copy_(known);
    start.push_back({name, values});
  }
  load_weights(net, start);
}

void check_can_init(const Checkpoint& from, const ModelConfig& config, const TextOptions& text) {
  const auto fixed = [](const ModelConfig& model, const TextOptions& read) {
    auto json = to_json(resolved(model));
    json.update(to_json(read));
    json.erase("dropout");
    json.erase("invalid_utf8");
    return json;
  };
  require_equal(fixed(from.config, from.text), fixed(config, text),
                "a training that begins with it");
}

Compute resumed_compute(const TrainRecord& record, torch::Device device) {
  auto compute = record.compute;
  if (device.is_cuda()) {
    compute.preferred = record.chosen;
    return compute;
  }
  compute.graph = GraphMode::kAuto;
  if (compute.backend == Backend::kCudnn) {
    compute.backend = Backend::kAuto;
  }
  return compute;
}

void check_resumable(const Checkpoint& saved, const ModelConfig& config, const TrainRecord& asked) {
  if (!saved.training) {
    throw Error("the checkpoint holds only a model, no training to resume");
  }
  const auto updater = [](const TrainOptions& options) {
    return Json{{"optimizer", to_string(options.updater.optimizer)},
                {"momentum", options.updater.momentum}};
  };
  require_equal(to_json(resolved(saved.config)), to_json(resolved(config)));
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
