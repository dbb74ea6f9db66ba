// Trains a part of the library inside a module of this program's own: unroll's LSTM gives logits, a
// learnt temperature divides them, and Adam sees the parameters of both.
#include <torch/nn/functional/loss.h>
#include <torch/optim/adam.h>

#include <cmath>
#include <iostream>

#include "unroll/concise.h"
#include "unroll/corpus.h"
#include "unroll/seq_data.h"

namespace {

struct TemperedModel : torch::nn::Module {
  explicit TemperedModel(int64_t vocab_size)
      : net(register_module("net", std::make_shared<unroll::RNNModel>(
                                       torch::nn::LSTM(vocab_size, 64), vocab_size))),
        log_temperature(register_parameter("log_temperature", torch::zeros({}))) {}

  std::pair<torch::Tensor, unroll::State> forward(const torch::Tensor& X,
                                                  const unroll::State& state) {
    auto [logits, next] = net->forward(X, state);
    return {logits / log_temperature.exp(), next};
  }

  std::shared_ptr<unroll::RNNModel> net;
  torch::Tensor log_temperature;
};

}  // namespace

int main() {
  torch::manual_seed(0);
  const unroll::Corpus corpus = unroll::make_corpus(unroll::sample_text());
  const unroll::SeqDataLoader train_iter(
      corpus.indices, {.batch_size = 32, .num_steps = 20, .sampling = unroll::Sampling::kRandom});
  TemperedModel model(corpus.vocab.size());
  torch::optim::Adam updater(model.parameters(), torch::optim::AdamOptions(5e-3));

  double first = 0;
  double last = 0;
  for (int64_t e = 0; e < 5; ++e) {
    const unroll::Epoch epoch = train_iter.epoch(e);
    double nats = 0;
    for (const unroll::Batch& batch : epoch) {
      auto [logits, state] = model.forward(batch.X, model.net->begin_state(batch.X.size(0)));
      auto loss = torch::nn::functional::cross_entropy(logits, batch.Y.t().reshape(-1));
      updater.zero_grad();
      loss.backward();
      updater.step();
      nats += loss.item<double>();
    }
    last = std::exp(nats / static_cast<double>(epoch.size()));
    if (e == 0) first = last;
  }
  std::cout << "perplexity " << first << " -> " << last << '\n';
  return last < first ? 0 : 1;
}
