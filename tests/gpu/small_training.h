#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/model_configs.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/checkpoint.h"
#include "unroll/corpus.h"
#include "unroll/train.h"

namespace unroll {

// A training of a few epochs: no more, as rounding grows from step to step, on every device. By
// SGD, whose steps are no larger than the gradients: Adam's first ones go by their signs, which
// rounding turns around.
class SmallTraining {
 public:
  explicit SmallTraining(const TestModel& model, int64_t batch_size = 4) : model_(model) {
    // The steps are captured where a test asks for it.
    model_.compute.graph = GraphMode::kOff;
    data_.batch_size = batch_size;
    corpus_ = corpus(120 * batch_size);
    if (model.cell == Cell::kRnnRelu) {
      // A ReLU bounds no state: one that is carried on grows, and the training diverges.
      data_.sampling = Sampling::kRandom;
    }
    at::manual_seed(0);
    const ModelConfig config = model;
    weights_ = make_model(config, corpus_.vocab.size(), torch::kCPU)->weights();
  }

  SmallTraining& with(const UpdaterOptions& updater) {
    options_.updater = updater;
    return *this;
  }

  // The same model computed by its own formulas.
  SmallTraining plain() const {
    auto other = *this;
    other.model_.compute.backend = Backend::kPlain;
    return other;
  }

  // The perplexity of each epoch, from the first to the last on one device.
  std::vector<double> run_on(torch::Device device) const {
    const auto net = begin_on(device);
    const SeqDataLoader train_iter(corpus_.indices, data_, device);
    return perplexities(train_ch8(*net, train_iter, corpus_.vocab, options_));
  }

  // The same, by steps that are captured in a CUDA graph.
  std::vector<double> run_captured_on(torch::Device device,
                                      const FallbackCallback& on_fallback) const {
    const auto net = begin_on(device, GraphMode::kOn);
    const SeqDataLoader train_iter(corpus_.indices, data_, device);
    TrainCallbacks callbacks;
    callbacks.on_graph_fallback = on_fallback;
    return perplexities(train_ch8(*net, train_iter, corpus_.vocab, options_, callbacks));
  }

  // The steps of an epoch, without its end.
  void run_steps_on(torch::Device device, OnNonfinite on_nonfinite) const {
    const auto net = begin_on(device);
    const SeqDataLoader train_iter(corpus_.indices, data_, device);
    const auto updater = make_updater(*net, options_.updater);
    TrainProgress progress;
    auto options = options_.step;
    options.on_nonfinite = on_nonfinite;
    const auto step = make_train_step(*net, *updater, progress, options);
    const auto epoch = train_iter.epoch(0);
    for (int64_t k = 0; k < epoch.size(); ++k) {
      step->run_batch(epoch, k);
    }
  }

  // The same, but stopped in the middle of the second, saved, and resumed from the file.
  std::vector<double> run_on(torch::Device first, torch::Device then) const {
    const TempFolder folder;
    stop_on(first, folder / "model");
    const auto saved = load_checkpoint(folder / "model");
    const auto net = make_model(saved, then, resumed_compute(*saved.training, then));
    const SeqDataLoader train_iter(corpus_.indices, data_, then);
    Training training(*net, train_iter, corpus_.vocab, saved.training->options);
    training.load_state(saved.training->state);
    return perplexities(training.run());
  }

 private:
  static std::vector<double> perplexities(const TrainResult& result) {
    std::vector<double> values;
    for (const auto& epoch : result.epochs) {
      values.push_back(epoch.perplexity);
    }
    return values;
  }

  static Corpus corpus(int64_t letters) {
    std::string text;
    while (static_cast<int64_t>(text.size()) < letters) {
      text += "abc ab ";
    }
    return make_corpus(text);
  }

  std::unique_ptr<SequenceModel> begin_on(torch::Device device,
                                          GraphMode graph = GraphMode::kOff) const {
    auto model = model_;
    model.compute.graph = graph;
    auto net = make_model(model, corpus_.vocab.size(), device);
    load_weights(*net, weights_);
    return net;
  }

  void stop_on(torch::Device device, const std::filesystem::path& path) const {
    const auto net = begin_on(device);
    const SeqDataLoader train_iter(corpus_.indices, data_, device);
    Training training(*net, train_iter, corpus_.vocab, options_);
    TrainCallbacks callbacks;
    callbacks.on_batch = [](const TrainProgress& at, int64_t) {
      if (at.epoch == 1 && at.batch == 5) {
        throw std::runtime_error("stopped");
      }
    };
    EXPECT_EQ(thrown<std::runtime_error>([&] { training.run(callbacks); }), "stopped");
    TrainRecord record;
    record.data = data_;
    record.options = options_;
    record.compute = model_.compute;
    save_checkpoint(path, make_checkpoint(*net, corpus_.vocab, corpus_.text, record, training));
  }

  TestModel model_;
  Corpus corpus_;
  DataOptions data_{.num_steps = 8};
  TrainOptions options_{.epochs = 3, .updater = {.lr = 0.1}, .prompts = {}};
  NamedTensors weights_;
};

/// Of the perplexities of a training's epochs.
inline void expect_near(const std::vector<double>& actual, const std::vector<double>& expected,
                        double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t e = 0; e < expected.size(); ++e) {
    EXPECT_NEAR(actual[e], expected[e], tolerance * expected[e]) << "epoch " << e + 1;
  }
}

/// All models that there are, and fused ones whose kernels take clusters of several sizes, and the
/// grid.
inline std::vector<TestModel> models_on_devices() {
  auto models = all_models(32);
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
    for (const int64_t hidden : {40, 300, 600}) {
      models.push_back(fused(ModelKind::kScratch, cell, hidden));
    }
  }
  models.push_back(fused(ModelKind::kScratch, Cell::kGru, 600));
  models.back().gru_reset = GruReset::kAfter;
  return models;
}

}  // namespace unroll
