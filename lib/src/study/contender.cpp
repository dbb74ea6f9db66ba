#include "study/contender.h"

#include <torch/csrc/autograd/autograd.h>

#include <utility>
#include <variant>

#include "unroll/fused.h"
#include "unroll/notebook.h"
#include "unroll/optim.h"

namespace unroll {
namespace {

class ModelContender : public Contender {
 public:
  ModelContender(const ModelSetup& setup, int64_t vocab_size, const SeqDataLoader& train_iter,
                 Rows rows, const FallbackCallback& on_fallback)
      : train_iter_(train_iter),
        rows_(std::move(rows)),
        net_(make_model(setup.config, vocab_size, train_iter.device(), setup.compute)),
        updater_(make_updater(*net_, {})),
        step_(make_train_step(*net_, *updater_, progress_, {.ranks = rows_.ranks},
                              effective().graph, on_fallback)),
        flops_per_token_(training_flops_per_token(setup.config, vocab_size)) {}

  double tokens_per_second_of_next_epoch(const TrainCallbacks& callbacks) override {
    const auto epoch = train_iter_.epoch(epoch_++).shard(rows_.rank, rows_.world);
    return train_epoch_ch8(epoch, *step_, progress_, callbacks).tokens_per_second;
  }
  StepSeconds seconds() const override { return step_->seconds(); }
  void reset_seconds() override { step_->reset_seconds(); }
  bool is_captured() const override { return step_->is_captured(); }
  Compute effective() const override {
    return net_->effective_compute(train_iter_.epoch(0).shard(rows_.rank, rows_.world).rows());
  }
  double flops_per_token() const override { return flops_per_token_; }

 private:
  const SeqDataLoader& train_iter_;
  Rows rows_;
  std::unique_ptr<SequenceModel> net_;
  std::unique_ptr<Updater> updater_;
  TrainProgress progress_;
  std::unique_ptr<TrainStep> step_;
  double flops_per_token_;
  int64_t epoch_ = 0;
};

using Layer = std::variant<FusedRNN, FusedGRU, FusedLSTM>;

Layer make_layer(const ModelSetup& setup, int64_t inputs) {
  const auto& config = setup.config;
  const auto of = [&](auto options) {
    options.num_layers(config.layers);
    return options;
  };
  switch (config.cell) {
    case Cell::kGru:
      return FusedGRU(of(torch::nn::GRUOptions(inputs, config.hidden)), setup.compute);
    case Cell::kLstm:
      return FusedLSTM(of(torch::nn::LSTMOptions(inputs, config.hidden)), setup.compute);
    case Cell::kRnnRelu:
      return FusedRNN(of(torch::nn::RNNOptions(inputs, config.hidden)).nonlinearity(torch::kReLU),
                      setup.compute);
    case Cell::kRnn:
    case Cell::kMlp:
      break;
  }
  return FusedRNN(of(torch::nn::RNNOptions(inputs, config.hidden)), setup.compute);
}

class LayerContender : public Contender {
 public:
  LayerContender(const ModelSetup& setup, int64_t inputs, const SeqDataLoader& train_iter)
      : layer_(make_layer(setup, inputs)), batch_size_(train_iter.options().batch_size) {
    const int64_t T = train_iter.options().num_steps;
    const int64_t H = setup.config.hidden;
    batches_ = train_iter.epoch(0).size();
    x_ = torch::randn({T, batch_size_, inputs}, train_iter.device());
    by_outputs_ = torch::randn({T, batch_size_, H}, train_iter.device()).div_(T * batch_size_);
    std::visit(
        [&](auto& layer) {
          layer->to(train_iter.device());
          parameters_ = layer->parameters();
        },
        layer_);
    // Beside what a model of no tokens does: the first layer's W_x forward, and by the weights.
    flops_per_token_ = training_flops_per_token(setup.config, 0) +
                       4.0 * static_cast<double>(parameters_.front().numel());
  }

  double tokens_per_second_of_next_epoch(const TrainCallbacks& callbacks) override {
    const Timer timer;
    TrainProgress progress;
    torch::Tensor gradient;
    for (; progress.batch < batches_; ++progress.batch) {
      Timer phase;
      const auto outputs =
          std::visit([&](auto& layer) { return std::get<0>(layer->forward(x_)); }, layer_);
      seconds_.forward += phase.stop();
      phase.start();
      gradient = torch::autograd::grad({outputs}, parameters_, {by_outputs_}).front();
      seconds_.backward += phase.stop();
      if (callbacks.on_batch) {
        callbacks.on_batch(progress, batches_);
      }
    }
    gradient.view(-1)[0].item<float>();  // waits for the device
    return static_cast<double>(batches_ * x_.size(0) * batch_size_) / timer.stop();
  }
  StepSeconds seconds() const override { return seconds_; }
  void reset_seconds() override { seconds_ = {}; }
  bool is_captured() const override { return false; }
  Compute effective() const override {
    return std::visit([&](const auto& layer) { return layer->effective_compute(batch_size_); },
                      layer_);
  }
  double flops_per_token() const override { return flops_per_token_; }

 private:
  Layer layer_;
  int64_t batch_size_;
  int64_t batches_;
  torch::Tensor x_;
  torch::Tensor by_outputs_;
  std::vector<torch::Tensor> parameters_;
  StepSeconds seconds_;
  double flops_per_token_;
};

}  // namespace

std::unique_ptr<Contender> make_model_contender(const ModelSetup& setup, int64_t vocab_size,
                                                const SeqDataLoader& train_iter, Rows rows,
                                                const FallbackCallback& on_fallback) {
  return std::make_unique<ModelContender>(setup, vocab_size, train_iter, std::move(rows),
                                          on_fallback);
}

std::unique_ptr<Contender> make_layer_contender(const ModelSetup& setup, int64_t inputs,
                                                const SeqDataLoader& train_iter) {
  return std::make_unique<LayerContender>(setup, inputs, train_iter);
}

}  // namespace unroll
