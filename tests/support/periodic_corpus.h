#pragma once

#include <string>

#include "unroll/corpus.h"

namespace unroll {

/// `aabab aabab ...`: what follows an a depends on more than the a.
inline Corpus periodic_corpus(int repetitions = 200) {
  std::string text;
  for (int i = 0; i < repetitions; ++i) {
    text += "aabab ";
  }
  return make_corpus(text);
}

}  // namespace unroll
