#include "page/ticks.h"

#include "base/formatted.h"

namespace unroll {

std::vector<double> linear_ticks(const Range& range, int most, bool whole) {
  const double least_step = std::max(range.size() / most, whole ? 1 : 0.0);
  const double power = std::pow(10, std::floor(std::log10(least_step)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least_step * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::ceil(range.low / step - 1e-9);
  for (int k = 0; k <= most && (first + k) * step <= range.high + 1e-9 * step; ++k) {
    ticks.push_back((first + k) * step + 0.0);  // without -0
  }
  return ticks;
}

std::vector<double> log_ticks(const Range& range) {
  constexpr int kMost = 7;
  const double ratio = range.high / range.low;
  if (ratio < 2) {
    return linear_ticks(range, 6);
  }
  std::vector<double> factors{1};
  if (ratio < 1000) {
    factors = ratio < 30 ? std::vector<double>{1, 1.5, 2, 3, 5, 7} : std::vector<double>{1, 2, 5};
  }
  const int first = static_cast<int>(std::floor(std::log10(range.low)));
  const int last = static_cast<int>(std::floor(std::log10(range.high)));
  const int stride = (last - first) / kMost + 1;
  std::vector<double> ticks;
  // From a multiple of the stride, so that 1 is one of them.
  for (int e = first - (first % stride + stride) % stride; e <= last; e += stride) {
    for (const double factor : factors) {
      const double tick = factor * std::pow(10, e);
      if (tick >= range.low * 0.999 && tick <= range.high * 1.001) {
        ticks.push_back(tick);
      }
    }
  }
  return ticks;
}

std::string tick_text(double value, const Range& range) {
  const double size = std::abs(value);
  if (std::max(-range.low, range.high) >= 1e9) {
    return formatted("{:.3g}", value);
  }
  if (size >= 1e6) {
    return formatted("{:.4g}M", value / 1e6);
  }
  return size >= 1e4 ? formatted("{:.4g}k", value / 1e3) : formatted("{:.4g}", value);
}

}  // namespace unroll
