// A text classifier: a GRU reads 30 characters, and its last state says whether they stand forwards
// or backwards. It is trained on one part of a text and measured on the rest.
//
//     right in 999 of 1000 extracts
//     the time traveller came back: forwards
//     kcab emac rellevart emit eht: backwards
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <unroll/unroll.h>

#include <iostream>
#include <string>

namespace {

struct Classifier : torch::nn::Module {
  explicit Classifier(int64_t vocab_size)
      : embedding(register_module("embedding", torch::nn::Embedding(vocab_size, 32))),
        gru(register_module("gru",
                            unroll::FusedGRU(torch::nn::GRUOptions(32, 128).batch_first(true)))),
        output(register_module("output", torch::nn::Linear(128, 2))) {}

  // characters (B,T) -> logits (B,2) of forwards and backwards
  torch::Tensor forward(const torch::Tensor& characters) {
    const auto last = std::get<1>(gru->forward(embedding->forward(characters)));  // (1,B,128)
    return output->forward(last.squeeze(0));
  }

  torch::nn::Embedding embedding;
  unroll::FusedGRU gru;
  torch::nn::Linear output;
};

// B extracts of 30 characters (B,30), half of them backwards, and which of them are (B)
std::pair<torch::Tensor, torch::Tensor> extracts(const torch::Tensor& text, int64_t B) {
  constexpr int64_t kSteps = 30;
  const auto starts = torch::randint(text.size(0) - kSteps, {B, 1}, torch::kInt64);
  const auto X = text.index({starts + torch::arange(kSteps)});
  const auto is_backwards = torch::arange(B) % 2;
  return {torch::where(is_backwards.unsqueeze(1) == 1, X.flip(1), X), is_backwards};
}

}  // namespace

int main() {
  torch::manual_seed(0);
  const auto corpus = unroll::make_corpus(unroll::sample_text());
  const auto [to_train, unseen] = unroll::hold_out(corpus.indices.to(torch::kInt64), 0.2);

  Classifier net(corpus.vocab.size());
  torch::optim::Adam updater(net.parameters(), torch::optim::AdamOptions(3e-3));
  for (int step = 0; step < 200; ++step) {
    const auto [X, Y] = extracts(to_train, 64);
    const auto loss = torch::nn::functional::cross_entropy(net.forward(X), Y);
    updater.zero_grad();
    loss.backward();
    updater.step();
  }

  const torch::NoGradGuard no_grad;
  const auto [X, Y] = extracts(unseen, 1000);
  const auto right = (net.forward(X).argmax(1) == Y).sum().item<int64_t>();
  std::cout << "right in " << right << " of 1000 extracts\n";
  for (const std::string text : {"the time traveller came back", "kcab emac rellevart emit eht"}) {
    const auto indices = unroll::token_indices(text, corpus.text, corpus.vocab);
    const auto logits = net.forward(torch::tensor(indices).unsqueeze(0));
    std::cout << text << ": " << (logits.argmax().item<int64_t>() == 0 ? "forwards" : "backwards")
              << '\n';
  }
}
