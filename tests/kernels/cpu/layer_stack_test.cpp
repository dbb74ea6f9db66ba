#include "kernels/cpu/layer_stack.h"

#include "kernels/cpu/random_model.h"

namespace unroll::cpu {
namespace {

using LayerStackOfEachCell = EachCell;

TEST_P(LayerStackOfEachCell, AMaskStandsBetweenTheLayersAndNowhereElse) {
  for (const auto cell : kAllCells) {
    SCOPED_TRACE(::testing::Message() << "cell " << static_cast<int>(cell));
    constexpr int64_t V = 5;
    constexpr int64_t H = 18;
    constexpr int64_t B = 3;
    constexpr int64_t T = 4;
    const auto model = random_model(cell, V, H);
    const auto between = mask(T * B * H);
    std::vector<int64_t> tokens;
    for (int64_t r = 0; r < T * B; ++r) {
      tokens.push_back(draw(0, V - 1));
    }
    LayerStack pass(cell, kLayers, H);
    const std::vector masks{between.data()};
    std::vector<float> outputs(T * B * H);
    pass.forward(model.parameters.layers, {.steps = T,
                                           .batch_size = B,
                                           .tokens = tokens.data(),
                                           .masks = masks,
                                           .outputs = outputs.data()});
    std::vector<float> states(kLayers * B * H);
    std::vector<float> cell_states(states.size());
    pass.copy_state({.h = states.data(), .c = cell_states.data()});

    // The lower layer alone, step by step, and the upper one over what the mask leaves of it.
    const auto layer = [&](std::size_t l) { return std::span(&model.parameters.layers[l], 1); };
    std::vector<float> h(B * H);
    std::vector<float> c(B * H);
    std::vector<float> x;
    for (int64_t t = 0; t < T; ++t) {
      LayerStack step(cell, 1, H);
      const StatePointers state{.h = h.data(), .c = c.data()};
      step.forward(layer(0),
                   {.steps = 1, .batch_size = B, .tokens = tokens.data() + t * B, .state = state});
      step.copy_state(state);
      for (const float value : h) {
        x.push_back(value * between[x.size()]);
      }
    }
    LayerStack above(cell, 1, H);
    std::vector<float> expected(outputs.size());
    above.forward(layer(1),
                  {.steps = T, .batch_size = B, .x = x.data(), .outputs = expected.data()});
    for (std::size_t i = 0; i < h.size(); ++i) {
      EXPECT_NEAR(states[i], h[i], 1e-6);
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_NEAR(outputs[i], expected[i], 1e-6);
    }
  }
}

UNROLL_EACH_TARGET(LayerStackOfEachCell);

using LayerStackInTiles = EachCell;

TEST_P(LayerStackInTiles, LayersOnAMatrixAreThoseOfFloat32) {
  constexpr int64_t B = 20;
  constexpr int64_t T = 3;
  constexpr int64_t H = 40;
  for (const int64_t inputs : {1, 19, 100}) {
    for (const auto cell :
         {CellKind::kRnn, CellKind::kLstm, CellKind::kGruBefore, CellKind::kGruAfter}) {
      SCOPED_TRACE(::testing::Message() << "cell " << static_cast<int>(cell) << " " << inputs);
      const auto weights = model(cell, kLayers, inputs, H, {0.2F, 0.15F, 0.1F, 0.3F, 0, 0});
      const auto x = values(T * B * inputs);
      const auto upstream = values(T * B * H, 0.02F);
      struct Result {
        Storage gradients;
        std::vector<float> h, dx;
      };
      const auto run = [&](int parts) {
        Result r{.gradients = model(cell, kLayers, inputs, H, {}),
                 .h = std::vector<float>(T * B * H),
                 .dx = std::vector<float>(x.size())};
        LayerStack stack(cell, kLayers, H, parts);
        stack.forward(weights.parameters.layers, {.steps = T,
                                                  .batch_size = B,
                                                  .x = x.data(),
                                                  .outputs = r.h.data(),
                                                  .with_backward = true});
        stack.last().set_outside_gradient(upstream.data());
        stack.backward(r.gradients.parameters.layers, {});
        stack.copy_input_gradient(r.dx.data());
        return r;
      };
      const auto expected = run(0);
      for (const int parts : {1, 2}) {
        SCOPED_TRACE(::testing::Message() << parts << " parts");
        const double tolerance = parts == 2 ? 1e-4 : 2e-2;
        const auto actual = run(parts);
        EXPECT_LT(distance(actual.h, expected.h), tolerance);
        EXPECT_LT(distance(actual.dx, expected.dx), tolerance);
        for (std::size_t a = 0; a < expected.gradients.arrays.size(); ++a) {
          EXPECT_LT(distance(actual.gradients.arrays[a], expected.gradients.arrays[a]), tolerance)
              << "array " << a;
        }
      }
    }
  }
}

UNROLL_EACH_TILE_TARGET(LayerStackInTiles);

}  // namespace
}  // namespace unroll::cpu
