#include "kernels/cpu/language_model.h"

#include <utility>

#include "kernels/cpu/matrices/product.h"

namespace unroll::cpu {

namespace {

// Up to so many tokens, the gradient by h from the logits is computed in each step's own product:
// that costs little more, and saves writing and reading a matrix (T*B, H).
constexpr int64_t kFewTokens = 2 * kPanel;

}  // namespace

void LanguageModelPass::forward(const ModelParameters& parameters, const LayerBatch& batch) {
  layers_.forward(parameters.layers, batch);
  output_.pack(parameters.output, batch.with_backward);
  output_.forward(layers_.h(), batch.with_backward);
}

void LanguageModelPass::backward(const ModelParameters& gradients,
                                 const StatePointers& state_gradient, const LayerDone& done) {
  output_.backward(gradients.output);
  std::vector<GradientTerm> also{output_.weight_term(gradients.output)};
  if (done) {
    weight_gradients(layers_.h(), also);
    also.clear();
    done(static_cast<int64_t>(gradients.layers.size()));
  }
  if (output_.logits().columns() <= kFewTokens) {
    layers_.last().set_outside_gradient(output_.logits_gradient(), output_.transposed_weights());
  } else {
    multiply_steps(output_.logits_gradient(), 0, output_.transposed_weights(), nullptr,
                   /*accumulate=*/false, layers_.last().outside_gradient());
  }
  layers_.backward(gradients.layers, state_gradient, std::move(also), done);
}

}  // namespace unroll::cpu
