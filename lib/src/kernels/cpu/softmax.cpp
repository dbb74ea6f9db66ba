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
  const int64_t V = logits.columns();
  const int64_t padded = round_up(V, kBlock);
  // Calls use(values) for each vector of a row.
  const auto for_each_vector = [&](int64_t r, const auto& use) HWY_ATTR {
    float* panel = logits.at(0, 0) + r * kPanel;
    for (int64_t v = 0; v < padded; v += kPanel, panel += logits.panel_stride()) {
      for (int64_t k = 0; k < std::min(kPanel, padded - v); k += kLanes) {
        use(panel + k);
      }
    }
  };
  float* const last_block = logits.at(0, padded - kBlock);
  double total = 0;
  for (int64_t r = begin; r < end; ++r) {
    // What stands past the last column takes no part in the maximum nor in the sum.
    std::fill(last_block + r * kPanel + (V - (padded - kBlock)), last_block + r * kPanel + kBlock,
              -std::numeric_limits<float>::infinity());
    auto most = hn::Set(kTag, -std::numeric_limits<float>::infinity());
    for_each_vector(
        r, [&](const float* values) HWY_ATTR { most = hn::Max(most, hn::Load(kTag, values)); });
    const auto largest = hn::MaxOfLanes(kTag, most);
    float* const label = logits.at(0, labels[r]) + r * kPanel;
    const float label_logit = *label - hn::GetLane(largest);
    auto sums = hn::Zero(kTag);
    for_each_vector(r, [&](float* values) HWY_ATTR {
      const auto below = hn::Sub(hn::Load(kTag, values), largest);
      // Highway's Exp gives 0 for what is not a number
      const auto e = hn::IfThenElse(hn::Eq(below, below), hn::Exp(kTag, below), below);
      hn::Store(e, kTag, values);
      sums = hn::Add(sums, e);
    });
    const float sum = hn::GetLane(hn::SumOfLanes(kTag, sums));
    total += std::log(static_cast<double>(sum)) - static_cast<double>(label_logit);
    const auto factor = hn::Set(kTag, scale / sum);
    for_each_vector(r, [&](float* values) HWY_ATTR {
      hn::Store(hn::Mul(hn::Load(kTag, values), factor), kTag, values);
    });
    *label -= scale;
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
