#include "kernels/cpu/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, kBlock>;
constexpr Tag kTag;
constexpr int64_t kLanes = hn::MaxLanes(Tag());

double softmax_cross_entropy(Panels& logits, int64_t begin, int64_t end, const int64_t* labels,
                             float scale) {
  const int64_t panels = logits.panels();
  const int64_t padded = round_up(logits.columns(), kBlock);
  double total = 0;
  for (int64_t r = begin; r < end; ++r) {
    // What stands past the last column takes no part in the maximum nor in the sum.
    for (int64_t v = logits.columns(); v < padded; ++v) {
      *logits.at(r, v) = -std::numeric_limits<float>::infinity();
    }
    auto most = hn::Set(kTag, -std::numeric_limits<float>::infinity());
    for (int64_t p = 0; p < panels; ++p) {
      const float* values = logits.at(r, p * kPanel);
      for (int64_t k = 0; k < logits.panel_columns(p); k += kLanes) {
        most = hn::Max(most, hn::Load(kTag, values + k));
      }
    }
    const auto largest = hn::MaxOfLanes(kTag, most);
    const float label_logit = *logits.at(r, labels[r]) - hn::GetLane(largest);
    auto sums = hn::Zero(kTag);
    for (int64_t p = 0; p < panels; ++p) {
      float* values = logits.at(r, p * kPanel);
      for (int64_t k = 0; k < logits.panel_columns(p); k += kLanes) {
        const auto below = hn::Sub(hn::Load(kTag, values + k), largest);
        // Highway's Exp gives 0 for what is not a number
        const auto e = hn::IfThenElse(hn::Eq(below, below), hn::Exp(kTag, below), below);
        hn::Store(e, kTag, values + k);
        sums = hn::Add(sums, e);
      }
    }
    const float sum = hn::GetLane(hn::SumOfLanes(kTag, sums));
    total += std::log(static_cast<double>(sum)) - static_cast<double>(label_logit);
    const auto factor = hn::Set(kTag, scale / sum);
    for (int64_t p = 0; p < panels; ++p) {
      float* values = logits.at(r, p * kPanel);
      for (int64_t k = 0; k < logits.panel_columns(p); k += kLanes) {
        hn::Store(hn::Mul(hn::Load(kTag, values + k), factor), kTag, values + k);
      }
    }
    *logits.at(r, labels[r]) -= scale;
  }
  return total;
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(softmax_cross_entropy);

double softmax_cross_entropy(Panels& logits, int64_t begin, int64_t end, const int64_t* labels,
                             float scale) {
  return HWY_DYNAMIC_DISPATCH(softmax_cross_entropy)(logits, begin, end, labels, scale);
}

}  // namespace unroll::cpu
#endif
