#pragma once

#include "base/formatted.h"
#include "data/token_row.h"
#include "unroll/error.h"
#include "unroll/model.h"
#include "unroll/ranks.h"
#include "unroll/vocab.h"

namespace unroll {

/// Throws Error unless the vocabulary has as many entries as the model.
inline void check_vocab_fits(const SequenceModel& net, const Vocab& vocab) {
  if (vocab.size() != net.vocab_size()) {
    throw Error(formatted("the vocabulary must have the model's {} entries, got {}",
                          net.vocab_size(), vocab.size()));
  }
}

/// Throws Error unless a corpus is a row of integers (N), each a token of the model's. Each rank
/// looks at its part.
inline void check_corpus_fits(const SequenceModel& net, const torch::Tensor& corpus,
                              const Ranks& ranks = Ranks()) {
  check_token_row(corpus);
  const auto own = part_of(ranks, corpus);
  if (own.numel() == 0) {
    return;
  }
  const auto [least, most] = torch::aminmax(own);
  for (const auto& end : {least, most}) {
    if (const auto token = end.item<int64_t>(); token < 0 || token >= net.vocab_size()) {
      throw Error(formatted("a token of the corpus must be in the model's [0, {}), got {}",
                            net.vocab_size(), token));
    }
  }
}

}  // namespace unroll
