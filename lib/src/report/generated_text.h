#pragma once

#include <cstdint>
#include <string>

namespace unroll {

/// A text that a model has written.
struct GeneratedReport {
  std::string prompt = {};  ///< as the model read it
  std::string text = {};    ///< the prompt and its continuation
  int64_t tokens = 0;       ///< taken
  double nats = 0;          ///< surprise of these, summed
  uint64_t seed = 0;        ///< of the draws
  int64_t sample = 0;       ///< which of the texts for the prompt, from 0
};

/// One JSON object: prompt, text, tokens, seed, sample, nats_per_token (null without a token).
std::string to_json(const GeneratedReport& report);

}  // namespace unroll
