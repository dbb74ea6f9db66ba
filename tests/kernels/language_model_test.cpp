#include "kernels/cpu/language_model.h"

#include <cmath>
#include <utility>

#include "each_target.h"
#include "kernels/cpu/decoder.h"
#include "kernels/cpu/rows.h"

namespace unroll::cpu {
namespace {

constexpr int64_t kLayers = 2;

// A model's values, or its gradients, in vectors of their own.
struct Storage {
  std::vector<std::vector<float>> arrays;
  ModelParameters parameters;
};

using EachCell = EachTarget;

TEST_P(EachCell, GradientsAreThoseOfFiniteDifferencesOnEveryInstructionSet) {
  for (const auto cell :
       {CellKind::kRnn, CellKind::kLstm, CellKind::kGruBefore, CellKind::kGruAfter}) {
    SCOPED_TRACE(::testing::Message() << "cell " << static_cast<int>(cell));
    constexpr int64_t V = 5;
    constexpr int64_t H = 18;
    constexpr int64_t B = 3;
    constexpr int64_t T = 4;
    const auto make = [&](bool random) {
      Storage s;
      s.arrays.reserve(200);
      const auto array = [&](int64_t size, float scale) {
        s.arrays.push_back(random ? values(size, scale) : std::vector<float>(size));
        return s.arrays.back().data();
      };
      for (int64_t l = 0; l < kLayers; ++l) {
        const int64_t inputs = l == 0 ? V : H;
        auto& layer = s.parameters.layers.emplace_back();
        for (int64_t g = 0; g < gate_count(cell); ++g) {
          layer.gates.push_back({.W_x = {array(inputs * H, 0.4F), inputs, H, H, 1},
                                 .W_h = {array(H * H, 0.25F), H, H, H, 1},
                                 .b = array(H, 0.3F)});
        }
        layer.b_hh = array(H, 0.3F);
      }
      s.parameters.output = {.W_hq = {array(H * V, 0.5F), H, V, V, 1}, .b_q = array(V, 0.3F)};
      return s;
    };
    auto weights = make(true);
    auto gradients = make(false);
    std::vector<int64_t> tokens;
    std::vector<int64_t> labels;
    for (int64_t r = 0; r < T * B; ++r) {
      tokens.push_back(draw(0, V - 1));
      labels.push_back(draw(0, V - 1));
    }
    LanguageModelPass pass(cell, kLayers, H);
    const auto loss = [&](bool with_backward) {
      pass.forward(tokens.data(), T, B, weights.parameters, {}, with_backward);
      return pass.mean_cross_entropy(labels.data());
    };
    loss(true);
    pass.backward(gradients.parameters, {});

    constexpr float kStep = 1e-2F;
    for (std::size_t a = 0; a < weights.arrays.size(); ++a) {
      // Along the gradient itself, where the loss changes most.
      double squares = 0;
      for (const float g : gradients.arrays[a]) {
        squares += static_cast<double>(g) * g;
      }
      const double norm = std::sqrt(squares);
      if (norm == 0) {
        continue;  // b_hh of a cell without one
      }
      const auto move = [&](double by) {
        for (std::size_t i = 0; i < weights.arrays[a].size(); ++i) {
          weights.arrays[a][i] += static_cast<float>(by / norm * gradients.arrays[a][i]);
        }
      };
      move(kStep);
      const double above = loss(false);
      move(-2 * kStep);
      const double below = loss(false);
      move(kStep);
      EXPECT_NEAR((above - below) / (2 * kStep), norm, 2e-3 * norm + 2e-5) << "array " << a;
    }
  }
}

TEST_P(EachCell, TheDecoderGivesTheLogitsOfThePass) {
  for (const auto cell :
       {CellKind::kRnn, CellKind::kLstm, CellKind::kGruBefore, CellKind::kGruAfter}) {
    constexpr int64_t V = 70;
    constexpr int64_t H = 33;
    constexpr int64_t B = 2;
    constexpr int64_t T = 3;
    ModelParameters parameters;
    std::vector<std::vector<float>> arrays;
    arrays.reserve(100);
    const auto array = [&](int64_t size) {
      arrays.push_back(values(size, 0.3F));
      return arrays.back().data();
    };
    for (int64_t l = 0; l < kLayers; ++l) {
      const int64_t inputs = l == 0 ? V : H;
      auto& layer = parameters.layers.emplace_back();
      for (int64_t g = 0; g < gate_count(cell); ++g) {
        layer.gates.push_back({.W_x = {array(inputs * H), inputs, H, H, 1},
                               .W_h = {array(H * H), H, H, H, 1},
                               .b = array(H)});
      }
      layer.b_hh = array(H);
    }
    parameters.output = {.W_hq = {array(H * V), H, V, V, 1}, .b_q = array(V)};
    std::vector<int64_t> tokens;
    for (int64_t r = 0; r < T * B; ++r) {
      tokens.push_back(draw(0, V - 1));
    }
    LanguageModelPass pass(cell, kLayers, H);
    pass.forward(tokens.data(), T, B, parameters, {}, /*with_backward=*/false);
    Decoder decoder(cell, B, parameters);
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

}  // namespace
}  // namespace unroll::cpu
