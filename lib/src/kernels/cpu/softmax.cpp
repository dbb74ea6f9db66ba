#include "kernels/cpu/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/machine/targets.h"

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

// The logarithms of so many sums are taken as that of their product: one in double takes about as
// long as the exponentials of a row of 28 (unroll_kernels_benchmark --benchmark_filter=Softmax). A
// sum is at least 1, since it has exp(0) in it, and at most V < 2^31: their product stays finite.
constexpr int64_t kSumsAtOnce = 32;

double softmax_cross_entropy(Panels& logits, int64_t begin, int64_t end, const int64_t* labels,
                             float scale) {
  const int64_t V = logits.columns();
  const int64_t strip = logits.strip();
  const auto nothing = hn::Set(kTag, -std::numeric_limits<float>::infinity());
  // Calls use(values, v) for each vector of a row, which begins at column v.
  const auto for_each_vector = [&](int64_t r, const auto& use) HWY_ATTR {
    float* row = logits.at(r, 0);
    for (int64_t v = 0; v < V; v += strip, row += logits.strip_stride()) {
      const int64_t columns = std::min(strip, round_up(V - v, kBlock));
      for (int64_t k = 0; k < columns; k += kLanes) {
        use(row + k, v + k);
      }
    }
  };
  // What stands past the last column takes no part in the maximum nor in the sum.
  const auto load = [&](const float* values, int64_t v) HWY_ATTR {
    const auto x = hn::Load(kTag, values);
    if (HWY_LIKELY(v + kLanes <= V)) {
      return x;
    }
    const auto left = static_cast<std::size_t>(std::max<int64_t>(0, V - v));
    return hn::IfThenElse(hn::FirstN(kTag, left), x, nothing);
  };
  double total = 0;
  double product = 1;
  const auto add_row = [&](int64_t r) HWY_ATTR {
    auto most = nothing;
    for_each_vector(
        r, [&](const float* values, int64_t v) HWY_ATTR { most = hn::Max(most, load(values, v)); });
    const auto largest = hn::MaxOfLanes(kTag, most);
    float* const label = logits.at(r, labels[r]);
    const float label_logit = *label - hn::GetLane(largest);
    auto sums = hn::Zero(kTag);
    for_each_vector(r, [&](float* values, int64_t v) HWY_ATTR {
      const auto below = hn::Sub(load(values, v), largest);
      // Highway's Exp gives 0 for what is not a number
      const auto e = hn::IfThenElse(hn::Eq(below, below), hn::Exp(kTag, below), below);
      hn::Store(e, kTag, values);
      sums = hn::Add(sums, e);
    });
    const float sum = hn::GetLane(hn::SumOfLanes(kTag, sums));
    product *= static_cast<double>(sum);
    total -= static_cast<double>(label_logit);
    const auto factor = hn::Set(kTag, scale / sum);
    for_each_vector(r, [&](float* values, int64_t /*v*/) HWY_ATTR {
      hn::Store(hn::Mul(hn::Load(kTag, values), factor), kTag, values);
    });
    *label -= scale;
  };
  for (int64_t r = begin; r < end; ++r) {
    if (HWY_LIKELY(labels[r] != kIgnoredLabel)) {
      add_row(r);
    } else {
      for_each_vector(r, [&](float* values, int64_t /*v*/)
                             HWY_ATTR { hn::Store(hn::Zero(kTag), kTag, values); });
    }
    if ((r - begin) % kSumsAtOnce == kSumsAtOnce - 1 || r + 1 == end) {
      total += std::log(product);
      product = 1;
    }
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
