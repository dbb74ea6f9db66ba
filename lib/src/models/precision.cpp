#include <array>

#include "base/formatted.h"
#include "base/parse_enum.h"
#include "kernels/cpu/tile_product.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {

std::string_view to_string(Precision precision) {
  switch (precision) {
    case Precision::kBf16x3:
      return "bf16x3";
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp32:
      break;
  }
  return "fp32";
}

Precision parse_precision(std::string_view name) {
  return parse_enum("precision", name,
                    std::array{Precision::kFp32, Precision::kBf16x3, Precision::kBf16});
}

bool is_supported(Precision precision) {
  return precision == Precision::kFp32 || cpu::has_tile_unit();
}

void require_supported(Precision precision) {
  if (!is_supported(precision)) {
    throw Error(
        formatted("precision {} needs a CPU with AMX (amx_tile, amx_bf16, avx512_bf16) that the "
                  "system lets programs use; choose fp32",
                  to_string(precision)));
  }
}

}  // namespace unroll
