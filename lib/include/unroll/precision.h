#pragma once

#include <string_view>

namespace unroll {

/// What a fused model multiplies in. On a CUDA device its kernels take bf16 for the products with
/// W_h, there and back, and all else is float32. On a CPU it is all products. The weights and their
/// update are float32 in any case, and so are all sums, gates and an LSTM's cell state.
///
/// On a CPU the hidden states of an RNN and of an LSTM, and the gradients by gates, are kept as
/// precisely as they are multiplied: what is computed from them, such as the state that a batch
/// leaves and the gradients of biases, is no more precise.
enum class Precision {
  kFp32,    ///< float32
  kBf16x3,  ///< each operand as two bf16, three products for one: nearly float32's accuracy
  kBf16     ///< operands rounded to bf16, 8 significant bits
};

/// The name that parse_precision reads.
std::string_view to_string(Precision precision);

/// `fp32`, `bf16x3` or `bf16`; throws UsageError otherwise.
Precision parse_precision(std::string_view name);

/// Whether this CPU has the instructions: any has those for float32, one with AMX those for bf16.
bool is_supported(Precision precision);

/// Throws Error, which names what this CPU lacks, unless it is supported.
void require_supported(Precision precision);

}  // namespace unroll
