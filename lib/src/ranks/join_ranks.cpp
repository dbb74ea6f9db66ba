#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "base/fields.h"
#include "base/formatted.h"
#include "ranks/process_group.h"
#include "unroll/ranks.h"

namespace unroll {
namespace {

constexpr int64_t kMostRanks = 1 << 20;

// The value of an environment variable that holds a number; nothing if it is not set.
std::optional<int64_t> number_in_environment(const char* name, const OptionRange& range) {
  const char* text = std::getenv(name);
  if (text == nullptr) {
    return std::nullopt;
  }
  int64_t value = 0;
  parse_value(name, text, value);
  require_in(name, value, range);
  return value;
}

int64_t needed_number(const char* name, const OptionRange& range) {
  const auto value = number_in_environment(name, range);
  if (!value) {
    throw UsageError(formatted("{} must be set where WORLD_SIZE is, as torchrun does", name));
  }
  return *value;
}

std::string text_in_environment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

}  // namespace

std::optional<RanksOptions> ranks_of_environment() {
  const auto world = number_in_environment("WORLD_SIZE", from_to(1, kMostRanks));
  if (!world) {
    return std::nullopt;
  }
  RanksOptions options{.world = *world};
  if (*world == 1) {
    return options;
  }
  options.rank = needed_number("RANK", from_to(0, static_cast<double>(*world - 1)));
  options.port = needed_number("MASTER_PORT", from_to(1, 65535));
  options.address = text_in_environment("MASTER_ADDR");
  if (options.address.empty()) {
    throw UsageError("MASTER_ADDR must be set where WORLD_SIZE is, as torchrun does");
  }
  options.local_rank = number_in_environment("LOCAL_RANK", from_to(0, kMostRanks)).value_or(0);
  options.local_world = number_in_environment("LOCAL_WORLD_SIZE", from_to(1, kMostRanks))
                            .value_or(options.local_world);
  options.launcher_listens = text_in_environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
  options.session = text_in_environment("TORCHELASTIC_RESTART_COUNT");
  return options;
}

std::shared_ptr<Ranks> join_ranks(const RanksOptions& options) {
  require_in("world", options.world, from_to(1, kMostRanks));
  require_in("rank", options.rank, from_to(0, static_cast<double>(options.world - 1)));
  require_in("port", options.port, from_to(1, 65535));
  require_in("timeout", options.timeout, above_to(0, 1e6));
  return options.world == 1 ? std::make_shared<Ranks>() : join_process_group(options);
}

}  // namespace unroll
