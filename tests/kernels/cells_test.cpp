#include "kernels/cpu/cells.h"

#include <cmath>
#include <limits>

#include "each_target.h"

namespace unroll::cpu {
namespace {

using Cells = EachTarget;

// What the cell's own functions make of one value each.
std::vector<float> tanh_of(const std::vector<float>& x) {
  const auto count = static_cast<int64_t>(x.size());
  Panels input;
  Panels h;
  input.resize(count, 1);
  h.resize(2 * count, 1);
  std::vector<int32_t> rows;
  for (int64_t r = 0; r < count; ++r) {
    *input.at(r, 0) = x[r];
    rows.push_back(static_cast<int32_t>(r));
  }
  const Panels sums = [&] {
    Panels zeros;
    zeros.resize(count, 1);
    return zeros;
  }();
  rnn_forward({.sums = sums.at(0, 0),
               .stride = kPanel,
               .time = 0,
               .batch_size = count,
               .row = 0,
               .rows = count,
               .block = 0,
               .blocks = 1},
              {&input, rows.data()}, h);
  std::vector<float> result;
  for (int64_t r = 0; r < count; ++r) {
    result.push_back(*h.at(count + r, 0));
  }
  return result;
}

// The input gate, sigmoid(x).
std::vector<float> sigmoid_of(const std::vector<float>& x) {
  const auto count = static_cast<int64_t>(x.size());
  const Gates layout{.count = 4, .hidden = 1};
  Panels input;
  Panels gates;
  Panels c;
  Panels h;
  input.resize(count, layout.columns(), layout.width());
  gates.resize(count, layout.columns(), layout.width());
  c.resize(2 * count, 1);
  h.resize(2 * count, 1);
  std::vector<int32_t> rows;
  for (int64_t r = 0; r < count; ++r) {
    *input.at(r, layout.column(0, 0)) = x[r];
    rows.push_back(static_cast<int32_t>(r));
  }
  Panels sums;
  sums.resize(count, kPanel);
  lstm_forward({.sums = sums.at(0, 0),
                .stride = kPanel,
                .time = 0,
                .batch_size = count,
                .row = 0,
                .rows = count,
                .block = 0,
                .blocks = 1},
               {&input, rows.data()}, gates, c, h);
  std::vector<float> result;
  for (int64_t r = 0; r < count; ++r) {
    result.push_back(*gates.at(r, layout.column(0, 0)));
  }
  return result;
}

TEST_P(Cells, TanhAndSigmoidAreAccurateEverywhere) {
  std::vector<float> x;
  for (float value = -12; value <= 12; value += 0.0137F) {
    x.push_back(value);
  }
  x.insert(x.end(), {0.0F, 1e-30F, 1e-6F, -1e-6F, 100, -80, 1e30F, -1e30F});
  const auto tanh = tanh_of(x);
  const auto sigmoid = sigmoid_of(x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double value = x[i];
    EXPECT_NEAR(tanh[i], std::tanh(value), 5e-7 * std::abs(std::tanh(value))) << value;
    const double expected = 1 / (1 + std::exp(-value));
    EXPECT_NEAR(sigmoid[i], expected, 5e-7 * expected + 1e-38) << value;
  }
}

TEST_P(Cells, WhatIsNotANumberStaysVisible) {
  const std::vector<float> nan{std::numeric_limits<float>::quiet_NaN()};
  EXPECT_TRUE(std::isnan(tanh_of(nan)[0]));
  EXPECT_TRUE(std::isnan(sigmoid_of(nan)[0]));
}

UNROLL_EACH_TARGET(Cells);

}  // namespace
}  // namespace unroll::cpu
