// The notebook's cells in order, each with the library's function of the same name.
// Usage: notebook TEXT [EPOCHS]
#include <unroll/unroll.h>

#include <cstdlib>
#include <iostream>
#include <string>

using namespace unroll;

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: notebook TEXT [EPOCHS]\n";
    return 2;
  }
  const std::string text = argv[1];
  const int64_t epochs = argc > 2 ? std::atoll(argv[2]) : 500;
  const auto device = try_gpu();

  // [load-data]
  const auto [train_iter, vocab] = load_data_time_machine(text, 32, 35, false, 10000, device);
  std::cout << train_iter.num_tokens() << " tokens, " << vocab.size() << " different\n";

  // [one-hot]
  std::cout << torch::one_hot(torch::tensor({0, 2}), vocab.size()) << "\n";

  // [one-hot-batch]
  const auto X = torch::arange(10).reshape({2, 5}).to(device);
  std::cout << torch::one_hot(X.t(), 28).sizes() << "\n";  // [5, 2, 28]

  // [params]
  constexpr int64_t kHiddens = 512;
  const NamedTensors params = get_params(vocab.size(), kHiddens, device);
  for (const auto& [name, tensor] : params) {
    std::cout << name << " " << tensor.sizes() << "\n";
  }

  // [state]
  const State state = init_rnn_state(2, kHiddens, device);

  // [rnn]
  const auto inputs = torch::one_hot(X.t(), vocab.size()).to(torch::kFloat32);
  const auto [outputs, after] = rnn(inputs, state, params);

  // [model]
  RNNModelScratch net(vocab.size(), kHiddens, device, get_params, init_rnn_state, rnn);

  // [shape-check]
  const auto [Y, new_state] = net.forward(X, net.begin_state(X.size(0)));
  std::cout << Y.sizes() << " " << new_state.size() << " " << new_state[0].sizes() << "\n";

  // [predict]
  std::cout << predict_ch8("time traveller ", 10, net, vocab) << "\n";

  // [clip]
  net.loss(train_iter.epoch(0)[0], net.begin_state(32)).first.backward();
  std::cout << "gradient norm " << grad_clipping(net, 1).item<float>() << ", clipped to "
            << grad_clipping(net, 0).item<float>() << "\n";

  // [epoch]
  const auto updater = make_updater(net, {.lr = 1});
  updater->zero_grad();
  TrainProgress progress;
  const auto step = make_train_step(net, *updater, progress, {.clip = 1});
  const EpochStats first = train_epoch_ch8(train_iter.epoch(0), *step, progress);
  std::cout << "perplexity after one epoch " << first.perplexity << "\n";

  // [train-sequential]
  TrainOptions options;
  options.epochs = epochs;
  TrainCallbacks callbacks;
  callbacks.on_prediction = [](const EpochStats& stats, const std::string& text) {
    std::cout << "epoch " << stats.epoch << ", perplexity " << stats.perplexity << ": " << text
              << "\n";
  };
  const auto result = train_ch8(net, train_iter, vocab, options, callbacks);
  std::cout << "sequential: perplexity " << result.perplexity() << "\n"
            << result.predictions[0] << "\n";

  // [train-random]
  RNNModelScratch other(vocab.size(), kHiddens, device, get_params, init_rnn_state, rnn);
  const SeqDataLoader reset_iter(
      load_corpus_time_machine(text, 10000).indices,
      {.batch_size = 32, .num_steps = 35, .sampling = Sampling::kSequentialReset}, device);
  const auto reset = train_ch8(other, reset_iter, vocab, options);
  std::cout << "sequential-reset: perplexity " << reset.perplexity() << "\n"
            << reset.predictions[0] << "\n";

  // [concise]
  RNNModel concise(torch::nn::RNN(torch::nn::RNNOptions(vocab.size(), 256)), vocab.size(), device);
  const auto short_run = train_ch8(concise, train_iter, vocab, options);
  std::cout << "concise: perplexity " << short_run.perplexity() << "\n"
            << short_run.predictions[0] << "\n";
}
