#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/model.h"
#include "unroll/vocab.h"

namespace unroll {

/// Continues `prefix` by `num_preds` tokens, as the notebook's `predict_ch8`: a batch of one is
/// warmed up on all of the prefix' tokens but the last, then the most likely token is fed back.
///
/// Returns prefix and predictions, joined as gap_between has it: words by a space. Tokens of the
/// prefix that the vocabulary lacks count as `<unk>`. Records no gradients.
/// Throws UsageError for an empty prefix or num_preds < 0.
std::string predict_ch8(std::string_view prefix, int64_t num_preds, SequenceModel& net,
                        const Vocab& vocab);

/// The same for several prefixes at once, as one batch. A fused model gives each the text that it
/// has alone; others may round otherwise in a batch, and then take another of two tokens that are
/// as good as equally likely.
std::vector<std::string> predict_ch8(const std::vector<std::string>& prefixes, int64_t num_preds,
                                     SequenceModel& net, const Vocab& vocab);

}  // namespace unroll
