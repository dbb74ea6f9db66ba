#pragma once

#include <torch/types.h>

namespace unroll {

/// While it lives, models are made in float64, where rounding is far from anything that matters.
class InFloat64 {
 public:
  InFloat64() { torch::set_default_dtype(torch::scalarTypeToTypeMeta(torch::kFloat64)); }
  ~InFloat64() { torch::set_default_dtype(torch::scalarTypeToTypeMeta(torch::kFloat32)); }
  InFloat64(const InFloat64&) = delete;
  InFloat64& operator=(const InFloat64&) = delete;
};

}  // namespace unroll
