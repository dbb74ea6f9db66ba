#include "kernels/cpu/machine/peak.h"

#include "kernels/cpu/machine/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/machine/peak.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

double multiply_adds(int64_t rounds) {
  // More sums than two units with a latency of four or five cycles can have under way.
  constexpr int kSums = 12;
  const hn::CappedTag<float, 16> d;
  hn::Vec<decltype(d)> sums[kSums];
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) {
    sums[i] = hn::Set(d, static_cast<float>(i));
  }
  const auto factor = hn::Set(d, 0.999F);
  for (int64_t n = 0; n < rounds; ++n) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {  // NOLINT(modernize-loop-convert): unrolled as it stands
      sums[i] = hn::MulAdd(sums[i], factor, factor);
    }
  }
  // A result that is used, so that the compiler cannot leave the work out.
  auto total = hn::Zero(d);
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) {  // NOLINT(modernize-loop-convert)
    total = hn::Add(total, sums[i]);
  }
  const bool impossible = hn::GetLane(total) < 0;
  return impossible ? 0
                    : 2.0 * kSums * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(multiply_adds);

double multiply_adds(int64_t rounds) { return HWY_DYNAMIC_DISPATCH(multiply_adds)(rounds); }

}  // namespace unroll::cpu
#endif
