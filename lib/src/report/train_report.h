#pragma once

#include <cstdint>
#include <string>

#include "unroll/compute.h"
#include "unroll/train.h"

namespace unroll {

/// A training and its surroundings, for the reader or a program.
struct TrainReport {
  TrainResult result;         ///< what the training came to
  ModelConfig config;         ///< which model
  Compute effective;          ///< how it was computed
  std::string device;         ///< `cpu`, `cuda:0`
  int64_t vocab_size = 0;     ///< V
  int64_t tokens = 0;         ///< that are trained on
  int64_t unknown = 0;        ///< of these, how many are `<unk>`
  int64_t valid_tokens = 0;   ///< that are validated on
  int64_t valid_unknown = 0;  ///< of these, how many are `<unk>`
  int threads = 0;            ///< of the CPU, each rank's
  int64_t ranks = 1;          ///< processes that trained together
};

/// The notebook's line: `perplexity 1.0, 67212.6 tokens/s on cpu`, the last epoch's figures. After
/// a validation a second one: `validation perplexity 5.43, at best 5.20 after epoch 12`, and what
/// it is without the unknown tokens if there are any.
std::string summary(const TrainReport& report);

/// One JSON object: perplexity, tokens_per_second (median over epochs), device, epochs,
/// predictions, vocab_size, tokens, unknown, seconds, threads, ranks, model, compute, cell, hidden,
/// layers, precision; after a validation valid_perplexity, best_valid_perplexity, best_epoch,
/// valid_tokens, valid_unknown and, if that is not 0, valid_known_perplexity. Full precision.
std::string to_json(const TrainReport& report);

/// One JSON object: epoch, perplexity, tokens_per_second, grad_norm, seconds, lr; where there are
/// such, valid_perplexity, valid_known_perplexity and skipped (steps). Full precision.
std::string log_line(const EpochStats& stats);

}  // namespace unroll
