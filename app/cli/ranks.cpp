#include "cli/ranks.h"

#include <c10/util/Logging.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <optional>
#include <string_view>

#include "base/formatted.h"
#include "cli/message.h"
#include "unroll/error.h"

// Of LibTorch, without a header
C10_DECLARE_int(caffe2_log_level);

namespace unroll::app {
namespace {

std::string text_in_environment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

// The value of an environment variable that holds a number; nothing if it is not set.
std::optional<int64_t> number_in_environment(const char* name, const OptionRange& range) {
  const auto text = text_in_environment(name);
  if (text.empty()) {
    return std::nullopt;
  }
  int64_t value = 0;
  parse_value(name, text, value);
  require_in(name, value, range);
  return value;
}

int64_t needed_number(const char* name, const OptionRange& range, const char* beside) {
  const auto value = number_in_environment(name, range);
  if (!value) {
    throw UsageError(formatted("{} must be set where {} is, as torchrun does", name, beside));
  }
  return *value;
}

Place place_in_environment() {
  Place place;
  auto& ranks = place.ranks;
  ranks.world = number_in_environment("WORLD_SIZE", at_least(1)).value_or(1);
  if (ranks.world == 1) {
    return place;
  }
  const auto below = [](int64_t count) { return from_to(0, static_cast<double>(count - 1)); };
  ranks.rank = needed_number("RANK", below(ranks.world), "WORLD_SIZE");
  ranks.port = needed_number("MASTER_PORT", from_to(1, 65535), "WORLD_SIZE");
  ranks.address = text_in_environment("MASTER_ADDR");
  if (ranks.address.empty()) {
    throw UsageError("MASTER_ADDR must be set where WORLD_SIZE is, as torchrun does");
  }
  const auto local_world =
      number_in_environment("LOCAL_WORLD_SIZE", from_to(1, static_cast<double>(ranks.world)));
  if (local_world) {
    ranks.local_world = *local_world;
    place.local_rank = needed_number("LOCAL_RANK", below(*local_world), "LOCAL_WORLD_SIZE");
  }
  ranks.interface = text_in_environment("GLOO_SOCKET_IFNAME");
  ranks.launcher_listens = text_in_environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
  ranks.session = text_in_environment("TORCHELASTIC_RESTART_COUNT");
  return place;
}

// Those of the first that are not among the others.
std::vector<std::string> without(const std::vector<std::string>& lines,
                                 const std::vector<std::string>& others) {
  std::vector<std::string> left;
  std::copy_if(lines.begin(), lines.end(), std::back_inserter(left), [&](const auto& line) {
    return !line.empty() && std::find(others.begin(), others.end(), line) == others.end();
  });
  return left;
}

std::string shown(const std::vector<std::string>& lines) {
  return lines.empty() ? "nothing" : joined(lines, ", ");
}

// Of all bytes of tensors.
std::size_t hash_of(const NamedTensors& tensors) {
  std::size_t hash = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto here = tensor.detach().to(torch::kCPU).contiguous();
    const std::string_view bytes(static_cast<const char*>(here.data_ptr()), here.nbytes());
    hash = 31 * hash + std::hash<std::string_view>()(bytes);
  }
  return hash;
}

}  // namespace

void add_rank_options(Options& options) {
  options.value("rank-timeout", "seconds that processes started together wait for each other", "S",
                to_text(RanksOptions().timeout));
  options.value("rank-backend",
                "what adds up their gradients: NCCL where each has a CUDA device of its own, or "
                "gloo, through the hosts' memory",
                "auto|gloo", std::string(to_string(RanksOptions().backend)));
}

Place read_place(const Options& options) {
  auto place = place_in_environment();
  auto& ranks = place.ranks;
  if (ranks.world > 1 && std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) {
    FLAGS_caffe2_log_level = 3;  // what c10d also throws, it logs with its stack
  }
  if (!place.is_first()) {
    set_message_prefix(formatted("unroll, rank {}", ranks.rank));
  }
  parse_value("--rank-timeout", options.text("rank-timeout"), ranks.timeout);
  require_in("--rank-timeout", ranks.timeout, above_to(0, 1e6));
  parse_value("--rank-backend", options.text("rank-backend"), ranks.backend);
  return place;
}

void check_rows(const Place& place, const DataOptions& data) {
  if (data.batch_size < place.ranks.world) {
    throw UsageError(formatted("--batch-size must be >= {}, the number of ranks, got {}",
                               place.ranks.world, data.batch_size));
  }
}

void Likeness::add(const Checkpoint& checkpoint) {
  const auto& training = checkpoint.training;
  add(formatted(
      "a checkpoint after epoch {}, batch {}, with hash {:016x}", checkpoint.epochs,
      training ? training->state.progress.batch : 0,
      31 * hash_of(checkpoint.weights) + (training ? hash_of(training->state.updater) : 0)));
}

void Likeness::require(Ranks& ranks) const {
  const auto theirs = split_list(ranks.broadcast(joined(lines_, "\n")), '\n');
  const auto here = without(lines_, theirs);
  const auto there = without(theirs, lines_);
  if (!here.empty() || !there.empty()) {
    throw Error(formatted("was started otherwise than rank 0: here {}, there {}", shown(here),
                          shown(there)));
  }
}

}  // namespace unroll::app
