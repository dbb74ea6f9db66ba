#pragma once

#include <cstdint>
#include <memory>

#include "unroll/ranks.h"
#include "unroll/study.h"

namespace unroll {

/// One of those whose speed is compared.
class Contender {
 public:
  virtual ~Contender() = default;

  /// Trains for an epoch more.
  virtual double tokens_per_second_of_next_epoch(const TrainCallbacks& callbacks) = 0;

  /// The time of its steps so far, or since it was reset.
  virtual StepSeconds seconds() const = 0;
  virtual void reset_seconds() = 0;

  virtual bool is_captured() const = 0;
  virtual Compute effective() const = 0;
  virtual double flops_per_token() const = 0;
};

/// Which rows of each batch: those of one rank, with or without the others.
struct Rows {
  int64_t rank = 0;
  int64_t world = 1;
  std::shared_ptr<Ranks> ranks = {};
};

/// A language model under training. The batches must outlive it, here and below.
std::unique_ptr<Contender> make_model_contender(const ModelSetup& setup, int64_t vocab_size,
                                                const SeqDataLoader& train_iter, Rows rows,
                                                const FallbackCallback& on_fallback = {});

/// Its layers alone, on random features instead of tokens: outputs and, from a random gradient by
/// them, the gradients of the parameters. Nothing is updated. The model is concise.
std::unique_ptr<Contender> make_layer_contender(const ModelSetup& setup, int64_t inputs,
                                                const SeqDataLoader& train_iter);

}  // namespace unroll
