// Trains the notebook's RNN in a loop of this program's own: its optimiser, its clipping, its order
// of things.
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/sgd.h>

#include <cmath>
#include <iostream>

#include "unroll/compute.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/fused.h"
#include "unroll/seq_data.h"

// Whether modules and errors keep their types on their way out of the library.
bool types_are_kept() {
  const unroll::FusedLSTM layer(2, 3);
  if (!std::dynamic_pointer_cast<unroll::FusedLSTMImpl>(layer->clone())) return false;
  try {
    unroll::parse_enum<unroll::Cell>("none");
  } catch (const unroll::UsageError&) {
    return true;
  }
  return false;
}

int main() {
  if (!types_are_kept()) return 1;
  torch::manual_seed(0);
  const unroll::Corpus corpus = unroll::make_corpus(unroll::sample_text());
  const unroll::SeqDataLoader train_iter(corpus.indices, {.batch_size = 32, .num_steps = 20});
  const auto net = unroll::make_model({.hidden = 64}, corpus.vocab.size(), torch::kCPU);
  const auto params = unroll::values(net->weights());
  torch::optim::SGD updater(params, /*defaults=*/1.0);

  double first = 0;
  double last = 0;
  for (int64_t e = 0; e < 5; ++e) {
    const unroll::Epoch epoch = train_iter.epoch(e);
    unroll::State state = net->begin_state(32);
    double nats = 0;
    for (const unroll::Batch& batch : epoch) {
      auto [loss, next] = net->loss(batch, state);
      updater.zero_grad();
      loss.backward();
      torch::nn::utils::clip_grad_norm_(params, 1);
      updater.step();
      state = unroll::detach(next);
      nats += loss.item<double>();
    }
    last = std::exp(nats / static_cast<double>(epoch.size()));
    if (e == 0) first = last;
  }
  std::cout << "perplexity " << first << " -> " << last << '\n';
  return last < first ? 0 : 1;
}
