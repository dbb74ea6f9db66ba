#pragma once

#include <cstddef>
#include <initializer_list>
#include <vector>

namespace unroll {

/// n running sums, as the notebook's `Accumulator`.
///
///     Accumulator metric(2);                 // summed loss, tokens
///     metric.add({loss * tokens, tokens});
///     double perplexity = std::exp(metric[0] / metric[1]);
class Accumulator {
 public:
  explicit Accumulator(std::size_t n) : sums_(n, 0.0) {}

  /// Adds one value to each sum. Throws Error unless `values` has size() elements.
  void add(std::initializer_list<double> values);

  /// Sets every sum to zero.
  void reset();

  double operator[](std::size_t i) const { return sums_.at(i); }
  std::size_t size() const { return sums_.size(); }

 private:
  std::vector<double> sums_;
};

}  // namespace unroll
