// Writes a checkpoint's logits of its vocabulary's tokens in turn, (2,T), from a state of zeros:
// logits CHECKPOINT T FILE. For convert.py, which compares them with Python's.
#include <unroll/unroll.h>

#include <string>

int main(int argc, char** argv) {
  if (argc != 4) {
    return 2;
  }
  const torch::NoGradGuard no_grad;
  const auto checkpoint = unroll::load_checkpoint(argv[1]);
  const auto net = unroll::make_model(checkpoint, torch::kCPU);
  const auto steps = std::stoll(argv[2]);
  const auto X = torch::arange(2 * steps).remainder(net->vocab_size()).view({2, steps});
  const auto logits = net->forward(X, net->begin_state(2)).first;
  unroll::save_safetensors(argv[3], {.tensors = {{"logits", logits}}});
}
