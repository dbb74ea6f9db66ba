#include <unroll/unroll.h>

#include <iostream>

int main() {
  const auto device = unroll::try_gpu();
  const auto corpus = unroll::make_corpus(unroll::sample_text());
  const unroll::SeqDataLoader train_iter(corpus.indices, {.batch_size = 32, .num_steps = 35},
                                         device);
  const auto net =
      unroll::make_model({.cell = unroll::Cell::kRnn, .hidden = 256}, corpus.vocab.size(), device);

  const auto result =
      unroll::train_ch8(*net, train_iter, corpus.vocab, {.epochs = 20, .updater = {.lr = 1}});
  std::cout << "perplexity " << result.perplexity() << '\n'
            << unroll::predict_ch8("the time ", 50, *net, corpus.vocab) << '\n';
}
