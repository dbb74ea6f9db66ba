#include "study/gradient_flow.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <tuple>

#include "base/formatted.h"
#include "infer/vocab_fits.h"
#include "study/plain_copy.h"
#include "unroll/error.h"
#include "unroll/optim.h"

namespace unroll {
namespace {

// The geometric mean over a batch of the norms of its rows' gradients, (B,H) or (L,B,H).
double mean_norm(const torch::Tensor& gradient) {
  const auto rows = gradient.to(torch::kFloat64).transpose(0, -2).flatten(1);
  return rows.norm(2, 1).log().mean().exp().item<double>();
}

// (V,H): leads from a gradient by logits to that by the top layer's h.
torch::Tensor output_weight(const ModelConfig& config, const SequenceModel& net) {
  return resolved(config).model == ModelKind::kScratch
             ? tensor_named(net.weights(), "W_hq").t()
             : tensor_named(net.weights(), "linear.weight");
}

// What the steps of a batch read and what the last one predicts, with the graph between them.
struct Unrolled {
  std::vector<State> states;  // h_1 .. h_{T-1}
  torch::Tensor logits;       // (B,V), the last
};

Unrolled unroll_steps(SequenceModel& net, const torch::Tensor& X) {
  Unrolled unrolled;
  auto state = net.begin_state(X.size(0));
  for (int64_t t = 0; t < X.size(1); ++t) {
    if (t > 0) {
      // What torch::nn predicts from is no function of the state that it returns, and an LSTM's h
      // is one of its c. A view that only the next step reads gives every model the same gradient.
      for (auto& part : state) {
        part = part.view_as(part);
      }
      unrolled.states.push_back(state);
    }
    std::tie(unrolled.logits, state) = net.forward(X.narrow(1, t, 1), state);
  }
  return unrolled;
}

void measure_distances(const ModelConfig& config, SequenceModel& net, const Batch& batch,
                       GradientFlow& flow) {
  const int64_t T = batch.X.size(1);
  const auto [states, logits] = unroll_steps(net, batch.X);
  std::vector<torch::Tensor> inputs{logits};
  for (const auto& state : states) {
    inputs.insert(inputs.end(), state.begin(), state.end());
  }
  // A sum over the batch: each row has the gradient that it has alone.
  const auto loss =
      torch::cross_entropy_loss(logits, batch.Y.select(1, T - 1), {}, at::Reduction::Sum);
  const auto gradients = torch::autograd::grad({loss}, inputs);

  const auto parts = net.begin_state(1).size();
  const auto steps = static_cast<std::size_t>(T);
  flow.h.assign(steps, 0);
  flow.c.assign(parts == 2 ? steps : 0, 0);
  flow.h[0] = mean_norm(gradients[0].matmul(output_weight(config, net)));
  for (std::size_t k = 1; k < steps && parts > 0; ++k) {
    const auto* of_state = &gradients[1 + (steps - 1 - k) * parts];
    flow.h[k] = mean_norm(of_state[0]);
    if (parts == 2) {
      flow.c[k] = mean_norm(of_state[1]);
    }
  }
}

}  // namespace

GradientFlow gradient_flow(const ModelConfig& config, const NamedTensors& weights,
                           const torch::Tensor& stretches, double clip) {
  if (!(clip >= 0)) {
    throw UsageError(formatted("clip must be >= 0, got {}", clip));
  }
  if (stretches.dim() != 2 || stretches.size(0) < 1 || stretches.size(1) < 2) {
    throw Error(formatted("stretches must be (B,T+1), B and T at least 1, got [{}]",
                          joined(stretches.sizes(), ", ")));
  }
  const at::AutoGradMode with_gradients(true);
  const auto net = plain_copy(config, weights);
  check_corpus_fits(*net, stretches.flatten());
  const auto tokens = stretches.to(torch::kCPU, torch::kInt64);
  const int64_t T = tokens.size(1) - 1;
  const Batch batch{tokens.narrow(1, 0, T), tokens.narrow(1, 1, T)};
  GradientFlow flow;
  measure_distances(config, *net, batch, flow);
  net->loss(batch, net->begin_state(tokens.size(0))).first.backward();
  flow.norm = grad_clipping(*net, /*theta=*/0).item<double>();
  flow.clip_factor = clip > 0 ? std::min(1.0, clip / flow.norm) : 1;
  return flow;
}

}  // namespace unroll
