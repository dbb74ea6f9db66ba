#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

#include "unroll/options.h"
#include "unroll/tensors.h"

#pragma GCC visibility push(default)
namespace unroll {

/// How subsequences are drawn from a corpus.
enum class Sampling {
  kSequential,       ///< row i of batch k+1 continues row i of batch k; the state is carried over
  kRandom,           ///< shuffled subsequences; the state is reset at every batch
  kSequentialReset,  ///< sequential data, the state reset at every batch
};
constexpr auto enum_names(Sampling) {
  return enum_table<Sampling>("sampling", {{Sampling::kSequential, "sequential"},
                                           {Sampling::kRandom, "random"},
                                           {Sampling::kSequentialReset, "sequential-reset"}});
}

/// How a corpus is cut into batches.
struct DataOptions {
  int64_t batch_size = 32;                    ///< B, rows of a batch
  int64_t num_steps = 35;                     ///< T, tokens of a row
  Sampling sampling = Sampling::kSequential;  ///< order of the subsequences
  uint64_t seed = 0;                          ///< of the offsets and the order
  std::optional<int64_t> offset = {};         ///< tokens dropped at the start; drawn when empty

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    // Under these bounds batch x steps + offset is far from an overflow.
    visit(self.sampling, {"sampling", "HOW", "{}"});
    visit(self.batch_size, {"batch-size", "B", "rows of a batch", from_to(1, 0x7fffffff)});
    visit(self.num_steps, {"num-steps", "T", "tokens of a row", from_to(1, 0x7fffffff)});
    visit(self.offset,
          {"offset", "N",
           "tokens dropped at the start of every epoch (default: drawn anew each time)",
           from_to(0, 0x1p48)});
    visit(self.seed, {"seed", "N", "seed of the weights and the batches"});
  }
};

/// Batch k of pass e, a pure function of both: X and Y (B,T) integers on the model's device.
using BatchFn = std::function<Batch(int64_t e, int64_t k)>;

/// The batches of one pass over a corpus; usable in a range-for.
class Epoch {
 public:
  /// Goes through the batches in order.
  class Iterator {
   public:
    /// @cond what the standard library asks of an iterator
    using iterator_category = std::input_iterator_tag;
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;
    using pointer = const Batch*;
    using reference = Batch;
    /// @endcond

    /// At batch k of the epoch, which must outlive it.
    Iterator(const Epoch& epoch, int64_t k) : epoch_(&epoch), k_(k) {}
    /// The batch, cut anew each time.
    Batch operator*() const { return (*epoch_)[k_]; }
    /// On to the next.
    Iterator& operator++() {
      ++k_;
      return *this;
    }
    /// Whether both are at the same batch.
    bool operator==(const Iterator& other) const { return k_ == other.k_; }

   private:
    const Epoch* epoch_;
    int64_t k_;
  };

  /// Number of batches.
  int64_t size() const { return size_; }

  /// Batch k, 0 <= k < size(). Throws Error outside.
  Batch operator[](int64_t k) const;

  /// The first batch.
  Iterator begin() const { return {*this, 0}; }
  /// Behind the last.
  Iterator end() const { return {*this, size_}; }

  /// Whether batch k+1 continues the rows of batch k, so that a state may be carried over.
  bool carries_state() const { return sampling_ == Sampling::kSequential; }

  /// Tokens dropped at the corpus' start.
  int64_t offset() const { return offset_; }

  /// Whether the batches are cut from a corpus, not made by a function.
  bool has_corpus() const { return corpus_.defined(); }

  /// Throws Error unless 0 <= k < size().
  void check_batch(int64_t k) const;

  /// The device of the batches.
  torch::Device device() const { return device_; }

  /// B, rows of a batch.
  int64_t rows() const { return rows_; }
  /// Of the whole batch's rows, the one that is the first here; 0 unless this is a shard.
  int64_t first_row() const { return first_row_; }
  /// T, tokens of a row.
  int64_t num_steps() const { return num_steps_; }

  /// The whole corpus (N), whatever the epoch; undefined without.
  const torch::Tensor& corpus() const { return corpus_; }

  /// Where each row of each batch begins in the corpus, (size(), B) int64 on the device. With
  /// these, batches can be cut without the host. Throws Error without corpus.
  torch::Tensor starts() const;

  /// Whether this is a copy of `other`; never without corpus.
  bool is_same(const Epoch& other) const {
    return has_corpus() && inputs_.is_same(other.inputs_) && starts_.is_same(other.starts_);
  }

  /// The rows of each batch that worker `rank` of `world` trains on; all shards together are the
  /// whole. Throws Error unless 0 <= rank < world <= B.
  Epoch shard(int64_t rank, int64_t world) const;

 private:
  friend class SeqDataLoader;
  Epoch() = default;

  Sampling sampling_ = Sampling::kSequential;
  torch::Device device_ = torch::kCPU;
  std::function<Batch(int64_t k)> batch_;  // where there is no corpus
  torch::Tensor corpus_;
  torch::Tensor inputs_;  // sequential: (B, n/B) view of the corpus; random: the corpus
  torch::Tensor labels_;  // the same, moved by one
  torch::Tensor starts_;  // random: (size, B) int64, shuffled starts of the subsequences
  int64_t rows_ = 0;
  int64_t first_row_ = 0;
  int64_t num_steps_ = 0;
  int64_t size_ = 0;
  int64_t offset_ = 0;
};

/// Cuts a corpus into batches, epoch by epoch.
///
///     SeqDataLoader train_iter(corpus.indices, {.batch_size = 32, .num_steps = 35});
///     for (auto [X, Y] : train_iter.epoch(0)) ...
class SeqDataLoader {
 public:
  /// `corpus` (N) of an integer dtype. Batches come out on `device`.
  /// Throws UsageError for options out of range, Error for a corpus that is no row of integers or
  /// too short for one batch.
  SeqDataLoader(const torch::Tensor& corpus, const DataOptions& options,
                torch::Device device = torch::kCPU);

  /// Batches of your own: `batches` of them a pass, all of the shape of the first; what is shorter
  /// is filled up with labels of -100. The state is carried over under Sampling::kSequential.
  /// Throws UsageError for less than one batch, Error when the first is none: X and Y (B,T).
  SeqDataLoader(int64_t batches, BatchFn batch, Sampling sampling = Sampling::kRandom);

  /// Pass `e` (from 0) over the corpus. Offset and order are a pure function of (seed, e).
  Epoch epoch(int64_t e) const;

  /// How the corpus is cut.
  const DataOptions& options() const { return options_; }

  /// Tokens in the corpus; of own batches, all in a pass.
  int64_t num_tokens() const;

  /// The device of the batches.
  torch::Device device() const { return device_; }

 private:
  torch::Tensor corpus_;
  DataOptions options_;
  torch::Device device_;
  int64_t batches_ = 0;  // where there is no corpus
  BatchFn batch_;
};

/// Splits a corpus (N) into a part to train on and its end, a `share` of it, to validate on. Both
/// are views. Throws UsageError unless 0 < share < 1, Error if the corpus is no row of integers, if
/// the end has fewer than 2 tokens or nothing else is left.
std::pair<torch::Tensor, torch::Tensor> hold_out(const torch::Tensor& corpus, double share);

/// Throws UsageError unless every option is in range.
void check(const DataOptions& options);

}  // namespace unroll
#pragma GCC visibility pop
