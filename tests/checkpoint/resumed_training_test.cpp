#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <stdexcept>
#include <vector>

#include "base/formatted.h"
#include "support/model_configs.h"
#include "support/periodic_corpus.h"
#include "support/temp_folder.h"
#include "unroll/checkpoint.h"
#include "unroll/tensors.h"
#include "unroll/train.h"

namespace unroll {
namespace {

// A training that is stopped, saved, and resumed from the file by others.
class ResumedTrainingOfEachModel : public ::testing::TestWithParam<TestModel> {
 protected:
  struct Outcome {
    NamedTensors weights;
    TrainResult result;
  };

  // Trains all epochs in one go, or stopped after each of these batches, counted from the first.
  Outcome train(const DataOptions& data, const TrainOptions& options, std::vector<int64_t> stops) {
    const SeqDataLoader train_iter(train_, data);
    at::manual_seed(5);
    Checkpoint checkpoint{.config = GetParam(), .vocab = corpus_.vocab, .text = corpus_.text};
    auto net = make_model(GetParam(), corpus_.vocab.size(), torch::kCPU);
    std::optional<Training> training;
    training.emplace(*net, train_iter, corpus_.vocab, options, valid_);
    int64_t batches = 0;
    TrainCallbacks callbacks;
    callbacks.on_batch = [&](const TrainProgress&, int64_t) {
      if (!stops.empty() && ++batches == stops.front()) {
        stops.erase(stops.begin());
        throw std::runtime_error("stopped");
      }
    };
    while (true) {
      try {
        auto result = training->run(callbacks);
        return {net->weights(), std::move(result)};
      } catch (const std::runtime_error& stopped) {
        EXPECT_STREQ(stopped.what(), "stopped");
      }
      TrainRecord record;
      record.data = data;
      record.options = options;
      record.compute = GetParam().compute;
      record.state = training->state();
      checkpoint.weights = net->weights();
      checkpoint.epochs = record.state.progress.epoch;
      checkpoint.training = record;
      save_checkpoint(folder_ / "model", checkpoint);

      // Nothing of before is left but the file.
      training.reset();
      at::manual_seed(static_cast<uint64_t>(batches) + 1000);
      const auto loaded = load_checkpoint(folder_ / "model");
      net = make_model(loaded, torch::kCPU, loaded.training->compute);
      training.emplace(*net, train_iter, corpus_.vocab, loaded.training->options, valid_);
      training->load_state(loaded.training->state);
    }
  }

  static void expect_equal(const Outcome& stopped, const Outcome& whole) {
    for (const auto& [name, weight] : whole.weights) {
      EXPECT_TRUE(torch::equal(tensor_named(stopped.weights, name), weight)) << name;
    }
    EXPECT_EQ(stopped.result.predictions, whole.result.predictions);
    EXPECT_EQ(stopped.result.stopped_early, whole.result.stopped_early);
    ASSERT_EQ(stopped.result.epochs.size(), whole.result.epochs.size());
    for (std::size_t e = 0; e < whole.result.epochs.size(); ++e) {
      const auto& a = stopped.result.epochs[e];
      const auto& b = whole.result.epochs[e];
      EXPECT_EQ(a.epoch, b.epoch);
      EXPECT_EQ(a.perplexity, b.perplexity);
      EXPECT_EQ(a.grad_norm, b.grad_norm);
      EXPECT_EQ(a.lr, b.lr);
      EXPECT_EQ(a.valid_perplexity, b.valid_perplexity);
    }
  }

  const TempFolder folder_;
  const Corpus corpus_ = periodic_corpus(40);
  const torch::Tensor train_ = corpus_.indices.narrow(0, 0, 200);
  const torch::Tensor valid_ = corpus_.indices.narrow(0, 200, 39);
};

TEST_P(ResumedTrainingOfEachModel, IsBitForBitTheOneThatWasNotStopped) {
  std::mt19937 random(7);
  for (const auto sampling :
       {Sampling::kSequential, Sampling::kRandom, Sampling::kSequentialReset}) {
    for (const auto optimizer : {Optimizer::kSgd, Optimizer::kAdam, Optimizer::kAdamW}) {
      const DataOptions data{.batch_size = 3, .num_steps = 7, .sampling = sampling, .seed = 2};
      TrainOptions options{
          .epochs = 5,
          .updater = {.optimizer = optimizer, .lr = optimizer == Optimizer::kSgd ? 0.5 : 0.02},
          .predict = 20,
          .prompts = {"aab"}};
      options.updater.momentum =
          optimizer == Optimizer::kSgd && sampling == Sampling::kRandom ? 0.9 : 0;
      options.schedule = {
          .schedule = static_cast<Schedule>(random() % 3), .warmup = 0.5, .patience = 1};
      const int64_t batches = SeqDataLoader(train_, data).epoch(0).size();
      // In the middle, at an epoch's last batch, at the first, and one after the other.
      std::vector<int64_t> stops{1, batches, batches + 1, 3 * batches};
      for (int i = 0; i < 2; ++i) {
        stops.push_back(1 + static_cast<int64_t>(random() % (4 * batches)));
      }
      std::sort(stops.begin(), stops.end());
      stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
      SCOPED_TRACE(formatted("{} {} stopped after {}", to_string(sampling), to_string(optimizer),
                             joined(stops, ", ")));
      expect_equal(train(data, options, stops), train(data, options, {}));
    }
  }
}

// Those that draw while they train too.
std::vector<TestModel> resumed_models() {
  auto models = all_models(5);
  for (const auto& model :
       {plain(ModelKind::kConcise, Cell::kGru, 5), fused(ModelKind::kConcise, Cell::kGru, 5)}) {
    models.push_back(model);
    models.back().layers = 2;
    models.back().dropout = 0.4;
  }
  return models;
}

INSTANTIATE_TEST_SUITE_P(Models, ResumedTrainingOfEachModel, ::testing::ValuesIn(resumed_models()),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace unroll
