#pragma once

#include <torch/types.h>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

/// Throws Error unless this is a row (N) of an integer dtype, as token indices are.
inline void check_token_row(const torch::Tensor& corpus) {
  if (!corpus.defined() || corpus.dim() != 1 ||
      !c10::isIntegralType(corpus.scalar_type(), /*includeBool=*/false)) {
    throw Error(formatted("a corpus must be a row (N) of an integer dtype, got {}",
                          corpus.defined()
                              ? formatted("{} of shape [{}]", c10::toString(corpus.scalar_type()),
                                          joined(corpus.sizes(), ", "))
                              : "no tensor"));
  }
}

}  // namespace unroll
