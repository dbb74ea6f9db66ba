#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>

#include "unroll/model.h"

namespace unroll {

/// One forward pass a token.
class ForwardDecoder : public Decoder {
 public:
  ForwardDecoder(SequenceModel& model, int64_t batch_size);
  std::span<const float> step(std::span<const int64_t> tokens) override;

 protected:
  SequenceModel& model() { return model_; }
  State& state() { return state_; }

 private:
  SequenceModel& model_;
  torch::Tensor tokens_;
  State state_;
  torch::Tensor logits_;
};

}  // namespace unroll
