#include "train/step_exchange.h"

#include <array>

namespace unroll {
namespace {

// The places of what travels.
enum Sum { kLoss, kLabels, kTokens, kSaves, kStops, kSums };

}  // namespace

void StepExchange::start(const BatchNumbers& own) {
  const auto request = ranks_->take_request();
  std::array<double, kSums> sums{};
  sums[kLoss] = own.loss;
  sums[kLabels] = own.labels;
  sums[kTokens] = static_cast<double>(own.tokens);
  sums[kSaves] = request == Request::kSave ? 1 : 0;
  sums[kStops] = request == Request::kStop ? 1 : 0;
  sums_ = torch::tensor(torch::ArrayRef<double>(sums), torch::kFloat64);
  wait_ = ranks_->start_all_reduce(sums_);
}

BatchNumbers StepExchange::finish() {
  wait_();
  const auto* sums = sums_.const_data_ptr<double>();
  const auto asked = sums[kStops] > 0   ? Request::kStop
                     : sums[kSaves] > 0 ? Request::kSave
                                        : Request::kNone;
  ranks_->set_asked(asked);
  return {.loss = sums[kLoss],
          .labels = sums[kLabels],
          .tokens = static_cast<int64_t>(sums[kTokens]),
          .asked = asked};
}

}  // namespace unroll
