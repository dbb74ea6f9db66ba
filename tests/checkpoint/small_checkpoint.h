#pragma once

#include <ATen/Context.h>

#include "unroll/checkpoint.h"
#include "unroll/compute.h"
#include "unroll/corpus.h"

namespace unroll {

inline const ModelConfig kSmall{.model = ModelKind::kScratch, .cell = Cell::kRnn, .hidden = 3};

/// A model of that description, its weights drawn, as it would be after seven epochs on the corpus.
inline Checkpoint checkpoint_of(const ModelConfig& config, const Corpus& corpus) {
  at::manual_seed(0);
  const auto net = make_model(config, corpus.vocab.size(), torch::kCPU);
  for (const auto& weight : values(net->weights())) {
    weight.data().normal_();
  }
  return {.config = config,
          .vocab = corpus.vocab,
          .text = corpus.text,
          .weights = net->weights(),
          .epochs = 7,
          .perplexity = 1.0 / 3};
}

}  // namespace unroll
