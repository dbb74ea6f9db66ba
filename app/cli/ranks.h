#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/options.h"
#include "unroll/ranks.h"

namespace unroll::app {

/// The options of a command that several processes run together.
void add_rank_options(Options& options);

/// Which of them this process is, by its environment and these options. All but the first are
/// silent from here on, and say who they are when they fail. Throws UsageError.
RanksOptions read_ranks(Options& options);

/// Throws Error unless every rank has the same lines as the first, such as `hidden 256`.
void require_alike(Ranks& ranks, const std::vector<std::string>& lines);

/// What was given on the command line, as such lines, but for what may differ from rank to rank.
std::vector<std::string> lines_of(const Options& options);

}  // namespace unroll::app
