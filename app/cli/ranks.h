#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "cli/options.h"
#include "unroll/checkpoint.h"
#include "unroll/ranks.h"
#include "unroll/seq_data.h"

namespace unroll::app {

/// Which of the processes that train together this one is.
struct Place {
  RanksOptions ranks = {};
  int64_t local_rank = 0;  // of this process among those on this machine

  bool is_first() const { return ranks.rank == 0; }
};

/// The options of a command that several processes run together.
void add_rank_options(Options& options);

/// By these options and what a launcher such as torchrun has set: RANK, WORLD_SIZE, MASTER_ADDR and
/// MASTER_PORT; where there are several on a machine, LOCAL_RANK and LOCAL_WORLD_SIZE; and Gloo's
/// GLOO_SOCKET_IFNAME. A process alone without WORLD_SIZE. All but the first say who they are when
/// they fail, from here on. Throws UsageError.
Place read_place(const Options& options);

/// Throws UsageError unless each rank has a row of a batch.
void check_rows(const Place& place, const DataOptions& data);

/// What ranks must have alike, one line for each thing, as `hidden 256`.
class Likeness {
 public:
  void add(const std::string& line) { lines_.push_back(line); }
  /// All fields of an options struct but lists.
  template <typename Struct>
  void add_fields(const Struct& options) {
    Struct::fields(options, [&](const auto& value, const Field& field) {
      if constexpr (!kIsList<decltype(value)>) {
        add(formatted("{} {}", field.name, to_text(value)));
      }
    });
  }
  /// Where a checkpoint stands, and what it holds.
  void add(const Checkpoint& checkpoint);

  /// Throws Error unless every rank has the same lines as the first.
  void require(Ranks& ranks) const;

 private:
  std::vector<std::string> lines_;
};

}  // namespace unroll::app
