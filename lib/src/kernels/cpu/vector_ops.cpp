#include "kernels/cpu/vector_ops.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/machine/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/vector_ops.cpp"
#include <hwy/foreach_target.h>
// Highway's headers come in this order.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace unroll::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::ScalableTag<float>;
constexpr Tag kTag;
using OneTag = hn::CappedTag<float, 1>;
constexpr OneTag kOne;

// Calls vector(i) for each vector that lies within [begin, size), and one(i) for what is left.
template <typename Vector, typename One>
HWY_INLINE void for_each(int64_t begin, int64_t size, const Vector& vector, const One& one) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(kTag));
  int64_t i = begin;
  for (; i + lanes <= size; i += lanes) {
    vector(i);
  }
  for (; i < size; ++i) {
    one(i);
  }
}

double sum_of_squares(const float* values, int64_t size) {
  // An addition waits for the last one to the same sum: four of them keep the units busy.
  const auto lanes = static_cast<int64_t>(hn::Lanes(kTag));
  const int64_t fours = size / (4 * lanes) * 4 * lanes;
  auto a = hn::Zero(kTag);
  auto b = a;
  auto c = a;
  auto d = a;
  const auto add = [&](auto& sum, int64_t i) HWY_ATTR {
    const auto x = hn::LoadU(kTag, values + i);
    sum = hn::MulAdd(x, x, sum);
  };
  for (int64_t i = 0; i < fours; i += 4 * lanes) {
    add(a, i);
    add(b, i + lanes);
    add(c, i + 2 * lanes);
    add(d, i + 3 * lanes);
  }
  float rest = 0;
  for_each(
      fours, size, [&](int64_t i) HWY_ATTR { add(a, i); },
      [&](int64_t i) { rest += values[i] * values[i]; });
  const auto sum = hn::Add(hn::Add(a, b), hn::Add(c, d));
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(kTag, sum)) + rest);
}

void scale(float factor, float* values, int64_t size) {
  const auto by = hn::Set(kTag, factor);
  for_each(
      0, size,
      [&](int64_t i)
          HWY_ATTR { hn::StoreU(hn::Mul(by, hn::LoadU(kTag, values + i)), kTag, values + i); },
      [&](int64_t i) { values[i] *= factor; });
}

void subtract_scaled(const float* values, float factor, float* to, int64_t size) {
  const auto by = hn::Set(kTag, factor);
  for_each(
      0, size,
      [&](int64_t i) HWY_ATTR {
        const auto x = hn::LoadU(kTag, values + i);
        hn::StoreU(hn::NegMulAdd(by, x, hn::LoadU(kTag, to + i)), kTag, to + i);
      },
      // Rounded as in a vector, so that it does not matter where a thread's values end.
      [&](int64_t i) HWY_ATTR {
        const auto x = hn::LoadU(kOne, values + i);
        const auto rest = hn::NegMulAdd(hn::Set(kOne, factor), x, hn::LoadU(kOne, to + i));
        hn::StoreU(rest, kOne, to + i);
      });
}

}  // namespace
}  // namespace unroll::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unroll::cpu {

HWY_EXPORT(sum_of_squares);
HWY_EXPORT(scale);
HWY_EXPORT(subtract_scaled);

namespace {

// Values that a thread should at least get.
constexpr int64_t kGrain = 1 << 15;

}  // namespace

double sum_of_squares(const float* values, int64_t size) {
  // In parts that do not depend on the number of threads, so that the sum does not either.
  constexpr int64_t kPart = 1 << 13;
  const int64_t parts = (size + kPart - 1) / kPart;
  std::vector<double> sums(static_cast<std::size_t>(parts));
  parallel_for(0, parts, kGrain / kPart, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      sums[n] = HWY_DYNAMIC_DISPATCH(sum_of_squares)(values + n * kPart,
                                                     std::min(kPart, size - n * kPart));
    }
  });
  double sum = 0;
  for (const double part : sums) {
    sum += part;
  }
  return sum;
}

void scale(float factor, float* values, int64_t size) {
  parallel_for(0, size, kGrain, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(scale)(factor, values + first, last - first);
  });
}

void subtract_scaled(const float* values, float factor, float* to, int64_t size) {
  parallel_for(0, size, kGrain, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(subtract_scaled)(values + first, factor, to + first, last - first);
  });
}

}  // namespace unroll::cpu
#endif
