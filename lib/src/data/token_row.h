#pragma once

#include <torch/types.h>

#include <algorithm>
#include <iterator>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

/// Throws Error unless this is a row (N) of uint8 or of signed integers, as token indices are.
inline void check_token_row(const torch::Tensor& corpus) {
  constexpr torch::ScalarType kTypes[] = {torch::kUInt8, torch::kInt8, torch::kInt16, torch::kInt32,
                                          torch::kInt64};
  if (!corpus.defined() || corpus.dim() != 1 ||
      std::find(std::begin(kTypes), std::end(kTypes), corpus.scalar_type()) == std::end(kTypes)) {
    throw Error(formatted("a corpus must be a row (N) of uint8 or signed integers, got {}",
                          corpus.defined()
                              ? formatted("{} of shape [{}]", c10::toString(corpus.scalar_type()),
                                          joined(corpus.sizes(), ", "))
                              : "no tensor"));
  }
}

}  // namespace unroll
