#pragma once

#include <vector>

#include "kernels/cpu/matrices/panels.h"

namespace unroll::cpu {

/// One gate's parameters, or where their gradients are to go, as the caller holds them.
struct GateParameters {
  StridedMatrix W_x;         ///< (V or inputs, H)
  StridedMatrix W_h;         ///< (H, H)
  float* b = nullptr;        ///< (H)
  float* b_again = nullptr;  ///< (H) a second bias that is added to the first, or none
};

/// One layer's.
struct LayerParameters {
  std::vector<GateParameters> gates;
  float* b_hh = nullptr;  ///< (H) GRU with the reset after the product: the bias inside it
};

}  // namespace unroll::cpu
