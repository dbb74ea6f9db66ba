// A sequence that is no text: the last digits of the Fibonacci numbers, which repeat after 60. The
// tokens are the digits themselves, so there is no vocabulary, and predictions are digits again.
// The perplexity is not 1, as one digit, with which each row begins, does not tell the next.
//
//     perplexity 1.17
//     2 3 are followed by 5 8 3 1 4 5 9 4 3 7 0 7 7 4 1 5 6 1
#include <unroll/unroll.h>

#include <iomanip>
#include <iostream>

int main() {
  torch::manual_seed(0);
  std::vector<int64_t> digits = {0, 1};
  while (digits.size() < 3000) {
    digits.push_back((digits[digits.size() - 2] + digits.back()) % 10);
  }
  const unroll::SeqDataLoader train_iter(
      torch::tensor(digits),
      {.batch_size = 16, .num_steps = 20, .sampling = unroll::Sampling::kRandom});
  const auto net = unroll::make_model({.cell = unroll::Cell::kGru, .hidden = 64}, /*vocab_size=*/10,
                                      torch::kCPU);
  const auto result = unroll::train_ch8(
      *net, train_iter,
      {.epochs = 60, .updater = {.optimizer = unroll::Optimizer::kAdam, .lr = 0.01}});

  std::cout << std::setprecision(3) << "perplexity " << result.perplexity() << '\n';
  const auto predicted = unroll::predict_ch8({2, 3}, 18, *net);
  std::cout << "2 3 are followed by";
  for (std::size_t i = 2; i < predicted.size(); ++i) {
    std::cout << ' ' << predicted[i];
  }
  std::cout << '\n';
}
