#include "cli/ranks.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/fields.h"
#include "base/formatted.h"
#include "cli/message.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

// Where files lie, how they are written and how a machine computes may differ.
constexpr std::array<std::string_view, 14> kOwn{
    "text", "valid",  "index", "save", "save-every", "keep",    "resume",
    "log",  "report", "plot",  "json", "quiet",      "threads", "rank-timeout"};

}  // namespace

void add_rank_options(Options& options) {
  options.value("rank-timeout", "seconds that processes started together wait for each other",
                "SECONDS", to_text(RanksOptions().timeout));
}

RanksOptions read_ranks(Options& options) {
  auto ranks = ranks_of_environment().value_or(RanksOptions());
  if (ranks.rank > 0) {
    set_message_prefix(formatted("unroll, rank {}", ranks.rank));
    options.replace("quiet", "true");
  }
  parse_value("--rank-timeout", options.text("rank-timeout"), ranks.timeout);
  require_in("--rank-timeout", ranks.timeout, above_to(0, 1e6));
  return ranks;
}

void require_alike(Ranks& ranks, const std::vector<std::string>& lines) {
  const auto first = ranks.broadcast(joined(lines, "\n"));
  std::string_view left = first;
  for (const auto& line : lines) {
    const auto theirs = left.substr(0, left.find('\n'));
    if (theirs != line) {
      throw Error(formatted("was started otherwise than rank 0: {}, there {}", line,
                            theirs.empty() ? "nothing" : theirs));
    }
    left.remove_prefix(std::min(theirs.size() + 1, left.size()));
  }
  if (!left.empty()) {
    throw Error(formatted("was started otherwise than rank 0, which also has {}",
                          left.substr(0, left.find('\n'))));
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
