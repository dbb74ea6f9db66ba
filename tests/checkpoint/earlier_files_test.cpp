// Checkpoints that earlier builds wrote, golden/checkpoints, load as what they were and go on.
// Beside them expected.json has the arguments that made each, its perplexity, and what those builds
// came to when they resumed it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "checkpoint/changed_config.h"
#include "checkpoint/options_json.h"
#include "support/cell_checks.h"
#include "support/temp_folder.h"
#include "unroll/checkpoint.h"
#include "unroll/corpus.h"
#include "unroll/seq_data.h"
#include "unroll/tensors.h"
#include "unroll/train.h"

namespace unroll {
namespace {

struct EarlierFile {
  std::string name;
  ModelConfig config;  // of 6 hidden units
  Backend backend = Backend::kAuto;
  std::vector<std::string> weights;
  std::function<void(TrainRecord&)> change = [](TrainRecord&) {};  // from what all have in common
};

void PrintTo(const EarlierFile& file, std::ostream* out) { *out << file.name; }

const std::vector<std::string> kOfTorch{"rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0",
                                        "rnn.bias_hh_l0",   "linear.weight",    "linear.bias"};

std::vector<EarlierFile> earlier_files() {
  const auto scratch = ModelKind::kScratch;
  const auto concise = ModelKind::kConcise;
  const std::vector<std::string> rnn{"W_xh", "W_hh", "b_h", "W_hq", "b_q"};
  return {
      {.name = "rnn", .config = {.model = scratch}, .weights = rnn},
      {.name = "rnn_scratch",
       .config = {.model = scratch},
       .backend = Backend::kPlain,
       .weights = rnn,
       .change = [](TrainRecord& record) { record.options.step.clip = 0.5; }},
      {.name = "rnn_concise",
       .config = {.model = concise},
       .backend = Backend::kPlain,
       .weights = kOfTorch},
      {.name = "gru",
       .config = {.model = scratch, .cell = Cell::kGru, .gru_reset = GruReset::kBefore},
       .weights = {"W_xz", "W_hz", "b_z", "W_xr", "W_hr", "b_r", "W_xh", "W_hh", "b_h", "W_hq",
                   "b_q"}},
      {.name = "gru_after",
       .config = {.model = scratch, .cell = Cell::kGru, .gru_reset = GruReset::kAfter},
       .weights = {"W_xz", "W_hz", "b_z", "W_xr", "W_hr", "b_r", "W_xh", "W_hh", "b_h", "b_hh",
                   "W_hq", "b_q"},
       .change =
           [](TrainRecord& record) {
             record.data.sampling = Sampling::kRandom;
             record.data.offset = 3;
           }},
      {.name = "gru_concise",
       .config = {.model = concise, .cell = Cell::kGru, .gru_reset = GruReset::kAfter},
       .backend = Backend::kPlain,
       .weights = kOfTorch},
      {.name = "lstm",
       .config = {.model = scratch, .cell = Cell::kLstm},
       .weights = {"W_xi", "W_hi", "b_i", "W_xf", "W_hf", "b_f", "W_xo", "W_ho", "b_o", "W_xc",
                   "W_hc", "b_c", "W_hq", "b_q"},
       .change =
           [](TrainRecord& record) {
             record.options.schedule = {.schedule = Schedule::kCosine, .warmup = 1, .min_lr = 0.1};
           }},
      {.name = "lstm_layers",
       .config = {.model = concise, .cell = Cell::kLstm, .layers = 2, .dropout = 0.25},
       .weights = {"rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0",
                   "rnn.weight_ih_l1", "rnn.weight_hh_l1", "rnn.bias_ih_l1", "rnn.bias_hh_l1",
                   "linear.weight", "linear.bias"},
       .change =
           [](TrainRecord& record) {
             record.options.updater = {.optimizer = Optimizer::kAdam, .lr = 0.01};
             record.valid_share = 0.2;
           }},
      {.name = "mlp",
       .config = {.model = scratch, .cell = Cell::kMlp},
       .backend = Backend::kPlain,
       .weights = {"W_xh", "b_h", "W_hq", "b_q"},
       .change =
           [](TrainRecord& record) {
             record.options.updater.momentum = 0.5;
             record.options.updater.weight_decay = 0.001;
           }},
  };
}

std::filesystem::path path_of(const std::string& name) {
  return std::string(UNROLL_GOLDEN_DIR) + "/checkpoints/" + name + ".safetensors";
}

nlohmann::json config_of(const SafeTensors& content) {
  return nlohmann::json::parse(content.metadata.at("config"));
}

// The file with its config's text changed from `from` to `to`.
Checkpoint load_changed(const std::string& name, const std::string& from, const std::string& to) {
  const TempFolder folder;
  change_config(path_of(name), folder / "changed", from, to);
  return load_checkpoint(folder / "changed");
}

class EarlierFiles : public ::testing::TestWithParam<EarlierFile> {
 protected:
  const Checkpoint checkpoint = load_checkpoint(path_of(GetParam().name));
  const nlohmann::ordered_json expected =
      golden("checkpoints/expected.json").at("models").at(GetParam().name);
};

TEST_P(EarlierFiles, AreTheModelAndTheTrainingThatTheyWere) {
  auto config = GetParam().config;
  config.hidden = 6;
  EXPECT_EQ(checkpoint.config, config);
  EXPECT_EQ(names_of(checkpoint.weights), GetParam().weights);
  EXPECT_EQ(checkpoint.vocab.size(), 28);
  EXPECT_EQ(checkpoint.text, TextOptions{});
  EXPECT_EQ(checkpoint.epochs, 2);
  EXPECT_EQ(checkpoint.perplexity, expected.at("perplexity").get<double>());
  ASSERT_TRUE(checkpoint.training);

  TrainRecord record;
  record.corpus.max_tokens = 1200;
  record.data = {.batch_size = 4, .num_steps = 10};
  record.options.epochs = 2;
  record.options.every = 0;
  record.options.predict = 5;
  GetParam().change(record);
  const auto& actual = *checkpoint.training;
  EXPECT_EQ(to_json(actual.corpus), to_json(record.corpus));
  EXPECT_EQ(to_json(actual.data), to_json(record.data));
  EXPECT_EQ(to_json(actual.options), to_json(record.options));
  EXPECT_EQ(actual.compute, Compute{.backend = GetParam().backend});
  EXPECT_EQ(actual.valid_share, record.valid_share);
  EXPECT_EQ(actual.valid_text, "");
  EXPECT_THAT(actual.texts, ::testing::IsEmpty());
  EXPECT_EQ(actual.settings, (std::map<std::string, std::string>{{"threads", "1"}}));
  EXPECT_EQ(actual.state.progress.epoch, 2);
  EXPECT_EQ(actual.state.progress.batch, 0);
  EXPECT_EQ(actual.state.history.size(), 2U);
}

TEST_P(EarlierFiles, GoOnToWhatTheyCameTo) {
  const auto& record = *checkpoint.training;
  const auto corpus = make_corpus(sample_text(), record.corpus);
  ASSERT_EQ(corpus.fingerprint, record.fingerprint);
  ASSERT_EQ(corpus.vocab.tokens(), checkpoint.vocab.tokens());
  torch::Tensor train = corpus.indices;
  torch::Tensor valid;
  if (record.valid_share > 0) {
    std::tie(train, valid) = hold_out(corpus.indices, record.valid_share);
  }
  const SeqDataLoader train_iter(train, record.data);
  const auto net = make_model(checkpoint, torch::kCPU, record.compute);
  EXPECT_EQ(names_of(net->weights()), GetParam().weights);
  check_resumable(checkpoint, checkpoint.config, record);
  auto options = record.options;
  options.epochs = expected.at("epochs").get<int64_t>();
  Training training(*net, train_iter, corpus.vocab, options, valid);
  training.load_state(record.state);
  const auto result = training.run();
  EXPECT_EQ(result.epochs.size(), 5U);
  const auto perplexity = expected.at("resumed_perplexity").get<double>();
  EXPECT_NEAR(result.perplexity(), perplexity, 1e-4 * perplexity);  // another CPU rounds otherwise
}

// Each member of `before` is one of `after`, of the same value.
void expect_part_of(const nlohmann::json& before, const nlohmann::json& after) {
  for (const auto& [key, value] : before.items()) {
    SCOPED_TRACE(key);
    ASSERT_TRUE(after.contains(key));
    if (value.is_object()) {
      expect_part_of(value, after[key]);
    } else if (value != "fused") {  // the name that meant both a model and how it is computed
      EXPECT_EQ(after[key], value);
    }
  }
}

TEST_P(EarlierFiles, KeepWhatTheyHaveWhenTheyAreSavedAgain) {
  const TempFolder folder;
  save_checkpoint(folder / "again", checkpoint);
  const auto before = load_safetensors(path_of(GetParam().name));
  const auto after = load_safetensors(folder / "again");
  expect_part_of(config_of(before), config_of(after));
  EXPECT_EQ(names_of(after.tensors), names_of(before.tensors));
  for (const auto& [name, tensor] : before.tensors) {
    auto again = tensor_named(after.tensors, name);
    if (name == "history") {  // has a column more now, which is empty here
      EXPECT_TRUE(again.select(1, tensor.size(1)).isnan().all().item<bool>());
      again = again.narrow(1, 0, tensor.size(1));
    }
    EXPECT_TRUE(tensor.allclose(again, 0, 0, /*equal_nan=*/true)) << name;
  }
  const auto loaded = load_checkpoint(folder / "again");
  EXPECT_EQ(loaded.config, checkpoint.config);
  EXPECT_EQ(loaded.training->compute, checkpoint.training->compute);
}

INSTANTIATE_TEST_SUITE_P(Files, EarlierFiles, ::testing::ValuesIn(earlier_files()),
                         [](const auto& info) { return info.param.name; });

TEST(EarlierFile, HadThePrecisionOfTheFusedModel) {
  const auto checkpoint = load_changed("gru", R"("precision":"fp32")", R"("precision":"bf16")");
  EXPECT_EQ(checkpoint.training->compute,
            (Compute{.backend = Backend::kAuto, .precision = Precision::kBf16}));
}

TEST(EarlierFile, HadTheGraphAmongItsSettings) {
  const auto checkpoint = load_changed("rnn", R"("settings":{)", R"("settings":{"graph":"off",)");
  EXPECT_EQ(checkpoint.training->compute, Compute{.graph = GraphMode::kOff});
  EXPECT_EQ(checkpoint.training->settings, (std::map<std::string, std::string>{{"threads", "1"}}));
}

}  // namespace
}  // namespace unroll
