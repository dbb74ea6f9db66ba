#include "kernels/cpu/cells.h"

#include <cmath>
#include <limits>
#include <utility>

#include "kernels/cpu/each_target.h"
#include "kernels/cpu/matrices/rows.h"

namespace unroll::cpu {
namespace {

using Cells = EachTarget;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// One step of as many sequences as there are values, of one unit each. The sums are zero, so the
// cell's functions see the input.
class OneStep {
 public:
  explicit OneStep(const std::vector<float>& x, const Gates& layout)
      : count_(static_cast<int64_t>(x.size())) {
    sums_.resize(count_, kPanel);
    values_.resize(count_, layout.columns(), layout.width());
    for (int64_t r = 0; r < count_; ++r) {
      *values_.at(r, 0) = x[r];
      rows_.push_back(static_cast<int32_t>(r));
    }
  }

  CellTile tile() const {
    return {.sums = sums_.at(0, 0),
            .stride = kPanel,
            .time = 0,
            .batch_size = count_,
            .row = 0,
            .rows = count_,
            .block = 0,
            .blocks = 1};
  }
  CellInput input() const { return {&values_, rows_.data()}; }
  const Panels& values() const { return values_; }

 private:
  int64_t count_;
  Panels sums_;
  Panels values_;
  std::vector<int32_t> rows_;
};

// A float32 matrix over time.
Activations float32(int64_t steps, int64_t batch_size, int64_t columns, int64_t width) {
  Activations result;
  result.resize(steps, batch_size, columns, width, {});
  return result;
}

// States of one unit over one step, in tiles of so many parts, or in float32.
Activations states(int64_t batch_size, int parts) {
  Activations result;
  result.resize(2, batch_size, 1, kStatePanel, {.values = parts == 0, .parts = parts});
  return result;
}

// The values of the first unit in the rows from `begin` on.
std::vector<float> first_unit(const Panels& from, int64_t begin) {
  std::vector<float> result;
  for (int64_t r = begin; r < from.rows(); ++r) {
    result.push_back(*from.at(r, 0));
  }
  return result;
}

// h' of a cell with one gate.
std::vector<float> simple_of(CellKind cell, const std::vector<float>& x, int parts = 0) {
  const auto count = static_cast<int64_t>(x.size());
  const OneStep step(x, {.count = 1, .hidden = 1});
  CellMemory memory{.cell = cell};
  memory.h = states(count, parts);
  rnn_forward(step.tile(), step.input(), memory);
  std::vector<float> result(x.size());
  copy_step_out(memory.h, 1, result.data());
  return result;
}
std::vector<float> tanh_of(const std::vector<float>& x) { return simple_of(CellKind::kRnn, x); }
std::vector<float> relu_of(const std::vector<float>& x) { return simple_of(CellKind::kRnnRelu, x); }

// The gradient through ReLU of g by its values h.
std::vector<float> relu_back(const std::vector<float>& g, const std::vector<float>& h) {
  const auto count = static_cast<int64_t>(g.size());
  const OneStep step(g, {.count = 1, .hidden = 1});
  CellMemory memory{.cell = CellKind::kRnnRelu};
  memory.h = states(count, 0);
  copy_step_in(h.data(), 1, memory.h);
  memory.gates = float32(1, count, 1, kPanel);
  memory.dh = BlockedView(step.values());
  rnn_backward(step.tile(), memory);
  return first_unit(memory.gates.values(), 0);
}

// The input gate, sigmoid(x).
std::vector<float> sigmoid_of(const std::vector<float>& x) {
  const auto count = static_cast<int64_t>(x.size());
  const Gates layout{.count = 4, .hidden = 1};
  const OneStep step(x, layout);
  CellMemory memory{.cell = CellKind::kLstm};
  memory.gates = float32(1, count, layout.columns(), layout.width());
  memory.h = float32(2, count, 1, kStatePanel);
  memory.c.resize(2 * count, 1);
  lstm_forward(step.tile(), step.input(), memory);
  return first_unit(memory.gates.values(), 0);
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

TEST_P(Cells, ReluAndItsGradientAreExact) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(relu_of({-kInfinity, -2, -1e-30F, 0, 1e-30F, 3.5F, 1e30F, kInfinity}),
            (std::vector<float>{0, 0, 0, 0, 1e-30F, 3.5F, 1e30F, kInfinity}));
  EXPECT_EQ(relu_back({2, -3, 4, 5}, {0, 1e-30F, 7, 0}), (std::vector<float>{0, -3, 4, 0}));
}

TEST_P(Cells, NanStaysVisible) {
  EXPECT_TRUE(std::isnan(tanh_of({kNan})[0]));
  EXPECT_TRUE(std::isnan(relu_of({kNan})[0]));
  EXPECT_TRUE(std::isnan(sigmoid_of({kNan})[0]));
  EXPECT_EQ(relu_back({2}, {kNan})[0], 2);
  EXPECT_TRUE(std::isnan(relu_back({kNan}, {1})[0]));
}

UNROLL_EACH_TARGET(Cells);

using CellsInTiles = EachTarget;

TEST_P(CellsInTiles, NanStaysVisible) {
  for (const int parts : {1, 2}) {
    EXPECT_TRUE(std::isnan(simple_of(CellKind::kRnn, {kNan}, parts)[0]));
    EXPECT_TRUE(std::isnan(simple_of(CellKind::kRnnRelu, {kNan}, parts)[0]));
  }
}

UNROLL_EACH_TILE_TARGET(CellsInTiles);

}  // namespace
}  // namespace unroll::cpu
