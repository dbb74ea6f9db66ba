#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cpu/language_model.h"

namespace unroll::cpu {

/// A language model token by token, over weights that are packed once.
class Decoder {
 public:
  /// Begins with states of zeros. The parameters are copied.
  Decoder(CellKind cell, int64_t batch_size, const ModelParameters& parameters);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// The logits (B, V) after one more token of each of the B sequences; tokens[b] in [0,V).
  const Panels& step(std::span<const int64_t> tokens);

 private:
  TokenRows tokens_;
  std::vector<std::unique_ptr<Recurrence>> layers_;
  OutputLayer output_;
};

}  // namespace unroll::cpu
