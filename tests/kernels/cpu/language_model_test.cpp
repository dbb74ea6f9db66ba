#include "kernels/cpu/language_model.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "kernels/cpu/decoder.h"
#include "kernels/cpu/matrices/rows.h"
#include "kernels/cpu/random_model.h"

namespace unroll::cpu {
namespace {

TEST_P(EachCell, GradientsAreThoseOfFiniteDifferencesOnEveryInstructionSet) {
  for (const auto cell : kAllCells) {
    for (const bool masked : {false, true}) {
      SCOPED_TRACE(::testing::Message()
                   << "cell " << static_cast<int>(cell) << (masked ? " masked" : ""));
      constexpr int64_t V = 5;
      constexpr int64_t H = 18;
      constexpr int64_t B = 3;
      constexpr int64_t T = 4;
      auto weights = model(cell, kLayers, V, H, {0.4F, 0.4F, 0.25F, 0.3F, 0.5F, 0.3F});
      auto gradients = model(cell, kLayers, V, H, {});
      std::vector<int64_t> tokens;
      std::vector<int64_t> labels;
      for (int64_t r = 0; r < T * B; ++r) {
        tokens.push_back(draw(0, V - 1));
        labels.push_back(draw(0, V - 1));
      }
      const auto between = mask(T * B * H);
      const std::vector<const float*> masks(masked ? kLayers - 1 : 0, between.data());
      LanguageModelPass pass(cell, kLayers, H);
      const auto loss = [&](bool with_backward) {
        pass.forward(weights.parameters, {.steps = T,
                                          .batch_size = B,
                                          .tokens = tokens.data(),
                                          .masks = masks,
                                          .with_backward = with_backward});
        return pass.mean_cross_entropy(labels.data());
      };
      loss(true);
      pass.backward(gradients.parameters, {});
      int slopes = 0;
      // Which units are above 0, after each step.
      const auto active = [&] {
        std::vector<bool> result;
        std::vector<float> h(kLayers * B * H);
        std::vector<float> c(h.size());
        for (int64_t steps = 1; steps <= T; ++steps) {
          pass.forward(weights.parameters,
                       {.steps = steps, .batch_size = B, .tokens = tokens.data(), .masks = masks});
          pass.copy_state({.h = h.data(), .c = c.data()});
          std::transform(h.begin(), h.end(), std::back_inserter(result),
                         [](float value) { return value > 0; });
        }
        return result;
      };

      constexpr float kStep = 1e-2F;
      for (std::size_t a = 0; a < weights.arrays.size(); ++a) {
        // Along random directions, so that no part of a gradient can be missing.
        for (int n = 0; n < 3;) {
          const auto direction = values(static_cast<int64_t>(weights.arrays[a].size()));
          double length = 0;
          double slope = 0;
          for (std::size_t i = 0; i < direction.size(); ++i) {
            length += static_cast<double>(direction[i]) * direction[i];
            slope += static_cast<double>(direction[i]) * gradients.arrays[a][i];
          }
          length = std::sqrt(length);
          const auto original = weights.arrays[a];
          std::vector<bool> active_at[2];
          double loss_at[2];
          for (const int way : {0, 1}) {
            const double by = way == 0 ? kStep : -kStep;
            for (std::size_t i = 0; i < direction.size(); ++i) {
              weights.arrays[a][i] = original[i] + static_cast<float>(by / length) * direction[i];
            }
            loss_at[way] = loss(false);
            active_at[way] = cell == CellKind::kRnnRelu ? active() : std::vector<bool>();
          }
          std::copy(original.begin(), original.end(), weights.arrays[a].begin());
          // Where a ReLU's unit passes 0, the loss has no slope.
          if (active_at[0] != active_at[1]) {
            continue;
          }
          ++n;
          const double difference = (loss_at[0] - loss_at[1]) / (2 * kStep);
          EXPECT_NEAR(difference, slope / length, 1e-4) << "array " << a;
          if (slope != 0) {
            ++slopes;
          }
        }
      }
      // All arrays count but b_hh, which only the GRU with the reset after the product has.
      const auto counting = static_cast<int>(weights.arrays.size()) -
                            (table_of(cell).has_b_hh ? 0 : static_cast<int>(kLayers));
      EXPECT_EQ(slopes, 3 * counting);
    }
  }
}

TEST_P(EachCell, TheDecoderGivesTheLogitsOfThePass) {
  for (const auto cell : kAllCells) {
    constexpr int64_t V = 70;
    constexpr int64_t H = 33;
    constexpr int64_t B = 2;
    constexpr int64_t T = 3;
    const auto model = random_model(cell, V, H);
    std::vector<int64_t> tokens;
    for (int64_t r = 0; r < T * B; ++r) {
      tokens.push_back(draw(0, V - 1));
    }
    LanguageModelPass pass(cell, kLayers, H);
    pass.forward(model.parameters, {.steps = T, .batch_size = B, .tokens = tokens.data()});
    Decoder decoder(cell, B, model.parameters);
    for (int64_t t = 0; t < T; ++t) {
      const auto& logits = decoder.step({tokens.data() + t * B, static_cast<std::size_t>(B)});
      for (int64_t b = 0; b < B; ++b) {
        for (int64_t v = 0; v < V; ++v) {
          EXPECT_EQ(*logits.at(b, v), *pass.logits().at(t * B + b, v));
        }
      }
    }
  }
}

UNROLL_EACH_TARGET(EachCell);

// Layers that were reported, and all gradients as they were then.
using LayerReports = std::vector<std::pair<int64_t, std::vector<std::vector<float>>>>;

// Layers are reported from above, each complete, before anything is written for those below; with
// the bits that they have otherwise.
template <typename Run, typename Result>
void expect_layer_by_layer(const Run& run, int parts, const Result& expected, int64_t layers) {
  LayerReports reports;
  const auto actual = run(parts, &reports);
  const auto& arrays = expected.gradients.arrays;
  EXPECT_EQ(actual.gradients.arrays, arrays);
  EXPECT_EQ(actual.dh, expected.dh);
  const auto of_layer = (arrays.size() - 2) / static_cast<std::size_t>(layers);
  ASSERT_EQ(reports.size(), static_cast<std::size_t>(layers) + 1);
  for (std::size_t n = 0; n < reports.size(); ++n) {
    const auto& [layer, then] = reports[n];
    EXPECT_EQ(layer, layers - static_cast<int64_t>(n));
    const auto begin = static_cast<std::size_t>(layer) * of_layer;
    for (std::size_t a = 0; a < arrays.size(); ++a) {
      const std::vector<float> untouched(arrays[a].size());
      EXPECT_EQ(then[a], a < begin ? untouched : arrays[a]) << "array " << a << ", layer " << layer;
    }
  }
}

using EachCellInTiles = EachCell;

TEST_P(EachCellInTiles, LossStatesAndGradientsAreThoseOfFloat32) {
  struct Shape {
    int64_t B, T, V, H, L;
    bool masked = false;
  };
  // The ReLU last, so that the other cells' draws, which their bounds hold for, do not depend on
  // it.
  std::vector<std::pair<CellKind, Shape>> cases;
  for (const bool relu : {false, true}) {
    for (const auto& shape : {Shape{3, 4, 5, 18, 2}, Shape{33, 2, 140, 40, 1}, Shape{1, 1, 1, 1, 1},
                              Shape{20, 3, 28, 70, 3}, Shape{20, 20, 28, 130, 1},
                              Shape{3, 4, 5, 18, 2, true}, Shape{20, 3, 28, 70, 3, true}}) {
      for (const auto cell : kAllCells) {
        if ((cell == CellKind::kRnnRelu) == relu) {
          cases.emplace_back(cell, shape);
        }
      }
    }
  }
  for (const auto& each : cases) {
    // No structured binding: clang 14 has none in a lambda.
    const CellKind cell = each.first;
    const int64_t B = each.second.B, T = each.second.T, V = each.second.V;
    const int64_t H = each.second.H, L = each.second.L;
    const bool masked = each.second.masked;
    SCOPED_TRACE(::testing::Message()
                 << "cell " << static_cast<int>(cell) << " B " << B << " T " << T << " V " << V
                 << " H " << H << " L " << L << (masked ? " masked" : ""));
    const auto of_inputs = [](double inputs) { return static_cast<float>(1 / std::sqrt(inputs)); };
    auto weights = model(cell, L, V, H,
                         {.W_x_of_tokens = of_inputs(2),
                          .W_x = of_inputs(H),
                          .W_h = of_inputs(2 * H),
                          .b = of_inputs(10),
                          .W_hq = of_inputs(H),
                          .b_q = of_inputs(10)});
    std::vector<int64_t> tokens;
    std::vector<int64_t> labels;
    for (int64_t r = 0; r < T * B; ++r) {
      tokens.push_back(draw(0, V - 1));
      labels.push_back(draw(0, V - 1));
    }
    auto state = values(L * B * H, 0.5F);
    auto cell_state = values(L * B * H, 0.5F);
    auto by_state = values(L * B * H, 0.02F);
    auto by_cell_state = values(L * B * H, 0.02F);
    std::vector<std::vector<float>> between;
    std::vector<const float*> masks;
    for (int64_t l = 1; masked && l < L; ++l) {
      between.push_back(mask(T * B * H));
      masks.push_back(between.back().data());
    }
    const StatePointers before{.h = state.data(), .c = cell_state.data()};
    const StatePointers upstream{.h = by_state.data(), .c = by_cell_state.data()};
    struct Result {
      double loss;
      Storage gradients;
      std::vector<float> h, c, dh, dc;
    };
    const auto run = [&](int parts, LayerReports* reports = nullptr) {
      const auto size = static_cast<std::size_t>(L * B * H);
      Result r{.loss = 0,
               .gradients = model(cell, L, V, H, {}),
               .h = std::vector<float>(size),
               .c = std::vector<float>(size),
               .dh = std::vector<float>(size),
               .dc = std::vector<float>(size)};
      LanguageModelPass pass(cell, L, H, parts);
      // More sequences first, whose remains must not matter.
      const int64_t more = round_up(B, 32);
      const std::vector<int64_t> others(static_cast<std::size_t>(T * more), V - 1);
      auto unused = model(cell, L, V, H, {});
      pass.forward(
          weights.parameters,
          {.steps = T, .batch_size = more, .tokens = others.data(), .with_backward = true});
      pass.mean_cross_entropy(others.data());
      pass.backward(unused.parameters, {});
      pass.forward(weights.parameters, {.steps = T,
                                        .batch_size = B,
                                        .tokens = tokens.data(),
                                        .state = before,
                                        .masks = masks,
                                        .with_backward = true});
      pass.copy_state({.h = r.h.data(), .c = r.c.data()});
      r.loss = pass.mean_cross_entropy(labels.data());
      LayerDone done;
      if (reports != nullptr) {
        done = [&](int64_t layer) { reports->emplace_back(layer, r.gradients.arrays); };
      }
      pass.backward(r.gradients.parameters, upstream, done);
      pass.copy_state_gradient({.h = r.dh.data(), .c = r.dc.data()});
      return r;
    };
    const auto expected = run(0);
    expect_layer_by_layer(run, 0, expected, L);
    for (const int parts : {1, 2}) {
      SCOPED_TRACE(::testing::Message() << parts << " parts");
      const bool relu = cell == CellKind::kRnnRelu;
      const double tolerance = parts == 2 ? 1e-4 : relu ? 3e-2 : 2e-2;
      // A ReLU's slope jumps where a sum near 0 is rounded to the other side.
      const double jumps = parts == 1 ? 0.2 : 1e-2;
      const double of_gradients = relu ? jumps : tolerance;
      const auto actual = run(parts);
      expect_layer_by_layer(run, parts, actual, L);
      EXPECT_NEAR(actual.loss, expected.loss, tolerance);
      EXPECT_LT(distance(actual.h, expected.h), tolerance);
      EXPECT_LT(distance(actual.dh, expected.dh), of_gradients);
      if (has_c(cell)) {
        EXPECT_LT(distance(actual.c, expected.c), tolerance);
        EXPECT_LT(distance(actual.dc, expected.dc), of_gradients);
      }
      for (std::size_t a = 0; a < expected.gradients.arrays.size(); ++a) {
        EXPECT_LT(distance(actual.gradients.arrays[a], expected.gradients.arrays[a]), of_gradients)
            << "array " << a;
      }
    }
  }
}

UNROLL_EACH_TILE_TARGET(EachCellInTiles);

}  // namespace
}  // namespace unroll::cpu
