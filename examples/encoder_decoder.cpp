// An encoder-decoder (Sutskever et al. 2014, https://arxiv.org/abs/1409.3215) learns to write words
// backwards. The encoder reads a word into its state; from there the decoder writes, letter by
// letter, and is fed what it wrote.
//
//     right in 924 of 1000 words
//     unroll -> llornu
//     torch -> hcrot
//     abc -> cba
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/optim/schedulers/step_lr.h>
#include <unroll/fused.h>

#include <iostream>
#include <string>

namespace {

constexpr int64_t kBegin = 26;  // what the decoder is fed first, after the letters a-z

struct Reverser : torch::nn::Module {
  // words (T,B) -> the encoder's state
  torch::Tensor encode(const torch::Tensor& words) {
    return std::get<1>(encoder->forward(embedding->forward(words)));
  }
  // The letters before each step (T,B) and the state -> logits (T,B,26) of its letter, and the
  // state
  std::pair<torch::Tensor, torch::Tensor> decode(const torch::Tensor& before,
                                                 const torch::Tensor& state) {
    auto [hidden, next] = decoder->forward(embedding->forward(before), state);
    return {output->forward(hidden), next};
  }

  torch::nn::Embedding embedding = register_module("embedding", torch::nn::Embedding(27, 32));
  unroll::FusedGRU encoder = register_module("encoder", unroll::FusedGRU(32, 128));
  unroll::FusedGRU decoder = register_module("decoder", unroll::FusedGRU(32, 128));
  torch::nn::Linear output = register_module("output", torch::nn::Linear(128, 26));
};

// words (T,B) -> what the network writes, (T,B)
torch::Tensor written_back(Reverser& net, const torch::Tensor& words) {
  const torch::NoGradGuard no_grad;
  auto state = net.encode(words);
  std::vector<torch::Tensor> letters = {torch::full({1, words.size(1)}, kBegin)};
  for (int64_t t = 0; t < words.size(0); ++t) {
    auto [logits, next] = net.decode(letters.back(), state);
    letters.push_back(logits.argmax(-1));
    state = next;
  }
  letters.erase(letters.begin());
  return torch::cat(letters);
}

torch::Tensor letters_of(const std::string& word) {
  std::vector<int64_t> letters;
  for (const char letter : word) {
    letters.push_back(letter - 'a');
  }
  return torch::tensor(letters).unsqueeze(1);
}

}  // namespace

int main() {
  torch::manual_seed(0);
  Reverser net;
  torch::optim::Adam updater(net.parameters(), torch::optim::AdamOptions(5e-3));
  torch::optim::StepLR schedule(updater, /*step_size=*/1500);  // then a tenth
  for (int step = 0; step < 2000; ++step) {
    const auto words = torch::randint(26, {3 + step % 4, 64}, torch::kInt64);  // of 3 to 6 letters
    const auto backwards = words.flip(0);
    const auto before = torch::cat({torch::full({1, 64}, kBegin), backwards.slice(0, 0, -1)});
    const auto logits = net.decode(before, net.encode(words)).first;
    const auto loss =
        torch::nn::functional::cross_entropy(logits.flatten(0, 1), backwards.flatten());
    updater.zero_grad();
    loss.backward();
    updater.step();
    schedule.step();
  }

  const auto words = torch::randint(26, {6, 1000}, torch::kInt64);
  const auto is_right = (written_back(net, words) == words.flip(0)).all(0);
  std::cout << "right in " << is_right.sum().item<int64_t>() << " of 1000 words\n";
  for (const std::string word : {"unroll", "torch", "abc"}) {
    std::cout << word << " -> ";
    const auto letters = written_back(net, letters_of(word)).flatten();
    for (int64_t i = 0; i < letters.size(0); ++i) {
      std::cout << static_cast<char>('a' + letters[i].item<int64_t>());
    }
    std::cout << '\n';
  }
}
