#pragma once

#include <cstdint>

#include "kernels/cpu/panels.h"
#include "kernels/cpu/weights.h"

namespace unroll::cpu {

/// Copies the weights of one gate into the layout of products along the rows.
///
/// W (K, H) -> packed (K, gates.columns()), block u of the gate at gates.column(u, gate); of W the
/// blocks [first, last) of kBlock rows only.
void pack(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t first, int64_t last,
          Weights& packed);

/// Likewise for products with the transposed weights.
///
/// W (K, H) -> packed (gates.columns(), K); unit n of the gate becomes row gates.column(n / 16,
/// gate) + n % 16. Of W the blocks [first, last) of kBlock rows only.
void pack_transposed(const StridedMatrix& W, const Gates& gates, int64_t gate, int64_t first,
                     int64_t last, Weights& packed);

}  // namespace unroll::cpu
