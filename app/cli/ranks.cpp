#include "cli/ranks.h"

#include <c10/util/Logging.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "base/fields.h"
#include "base/formatted.h"
#include "cli/message.h"
#include "unroll/error.h"

// Of LibTorch, without a header
C10_DECLARE_int(caffe2_log_level);

namespace unroll::app {
namespace {

// Where files lie, how they are written and how a machine computes may differ.
constexpr std::array<std::string_view, 14> kOwn{
    "text", "valid",  "index", "save", "save-every", "keep",    "resume",
    "log",  "report", "plot",  "json", "quiet",      "threads", "rank-timeout"};

// Those of the first that are not among the others.
std::vector<std::string> without(const std::vector<std::string>& lines,
                                 const std::vector<std::string>& others) {
  std::vector<std::string> left;
  std::copy_if(lines.begin(), lines.end(), std::back_inserter(left), [&](const auto& line) {
    return !line.empty() && std::find(others.begin(), others.end(), line) == others.end();
  });
  return left;
}

}  // namespace

void add_rank_options(Options& options) {
  options.value("rank-timeout", "seconds that processes started together wait for each other",
                "S", to_text(RanksOptions().timeout));
}

RanksOptions read_ranks(Options& options) {
  auto ranks = ranks_of_environment().value_or(RanksOptions());
  if (ranks.world > 1 && std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) {
    FLAGS_caffe2_log_level = 3;  // what c10d also throws, it logs with its stack
  }
  if (ranks.rank > 0) {
    set_message_prefix(formatted("unroll, rank {}", ranks.rank));
    options.replace("quiet", "true");
  }
  parse_value("--rank-timeout", options.text("rank-timeout"), ranks.timeout);
  require_in("--rank-timeout", ranks.timeout, above_to(0, 1e6));
  return ranks;
}

void require_alike(Ranks& ranks, const std::vector<std::string>& lines) {
  const auto theirs = split_list(ranks.broadcast(joined(lines, "\n")), '\n');
  const auto here = without(lines, theirs);
  const auto there = without(theirs, lines);
  if (!here.empty() || !there.empty()) {
    throw Error(formatted("was started otherwise than rank 0: here {}, there {}",
                          here.empty() ? "nothing" : joined(here, ", "),
                          there.empty() ? "nothing" : joined(there, ", ")));
  }
}

std::vector<std::string> lines_of(const Options& options) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : options.arguments()) {
    if (std::find(kOwn.begin(), kOwn.end(), name) == kOwn.end()) {
      lines.push_back(formatted("{} {}", name, value));
    }
  }
  return lines;
}

}  // namespace unroll::app
