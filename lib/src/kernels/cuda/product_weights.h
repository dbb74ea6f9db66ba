#pragma once

#include "kernels/cuda/simt.h"

namespace unroll::cuda {

// The weights of the products, as slabs take them. A matrix of a layer that has a plan has fewer
// than 2^31 weights.

/// Column n of the forward product is unit n % units of gate n / units of the block.
template <int kGates>
struct ForwardWeights {
  const float* W_h;  // (H, all gates * H), from the first of these gates on
  int row;           // floats of a row
  int hidden;
  int units;
  int first_unit;

  UNROLL_DEVICE int column(int n) const {
    const int gate = n / units;
    const int unit = first_unit + n - gate * units;
    return gate < kGates && unit < hidden ? gate * hidden + unit : -1;
  }
  UNROLL_DEVICE float at(int k, int column) const {
    return column >= 0 ? W_h[k * row + column] : 0.0F;
  }
};

/// Column n of the backward product is unit n of the block.
template <int kGates>
struct BackwardWeights {
  const float* W_h_t;  // (kGates * H, H)
  int rows;            // of a gate: gate_rows
  int hidden;
  int units;
  int first_unit;

  UNROLL_DEVICE int column(int n) const {
    const int unit = first_unit + n;
    return n < units && unit < hidden ? unit : -1;
  }
  UNROLL_DEVICE float at(int k, int column) const {
    int gate = 0;
    UNROLL_LOOP
    for (int next = 1; next < kGates; ++next) {
      gate += k >= next * rows ? 1 : 0;
    }
    // The row that fills a gate's last word is multiplied by zeros: any weight will do.
    const int row = k - gate * (rows - hidden);
    const int last = kGates * hidden - 1;
    return column >= 0 ? W_h_t[(row < last ? row : last) * hidden + column] : 0.0F;
  }
};

}  // namespace unroll::cuda
