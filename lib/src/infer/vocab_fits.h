#pragma once

#include "base/formatted.h"
#include "unroll/error.h"
#include "unroll/model.h"
#include "unroll/vocab.h"

namespace unroll {

/// Throws Error unless the vocabulary has as many entries as the model.
inline void check_vocab_fits(const SequenceModel& net, const Vocab& vocab) {
  if (vocab.size() != net.vocab_size()) {
    throw Error(formatted("the vocabulary must have the model's {} entries, got {}",
                          net.vocab_size(), vocab.size()));
  }
}

}  // namespace unroll
