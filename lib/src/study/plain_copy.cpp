#include "study/plain_copy.h"

#include <ATen/Context.h>

#include "models/weight_shapes.h"

namespace unroll {

std::unique_ptr<SequenceModel> plain_copy(const ModelConfig& config, const NamedTensors& weights) {
  const int64_t V = weights.empty() ? 0 : weights.back().tensor.numel();  // of the last bias
  check_weights(config, V, weights);
  auto generator = at::globalContext().defaultGenerator(torch::kCPU);
  const auto before = generator.get_state();
  auto net = make_model(config, V, torch::kCPU, {.backend = Backend::kPlain});
  generator.set_state(before);
  load_weights(*net, weights);
  net->train(false);
  return net;
}

}  // namespace unroll
