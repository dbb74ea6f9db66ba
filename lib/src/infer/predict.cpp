#include "unroll/generate.h"

namespace unroll {

std::vector<std::string> predict_ch8(const std::vector<std::string>& prefixes, int64_t num_preds,
                                     SequenceModel& net, const Vocab& vocab) {
  return generate(prefixes, num_preds, net, vocab, {.take_unk = true});
}

std::string predict_ch8(std::string_view prefix, int64_t num_preds, SequenceModel& net,
                        const Vocab& vocab) {
  return predict_ch8(std::vector<std::string>{std::string(prefix)}, num_preds, net, vocab).front();
}

}  // namespace unroll
