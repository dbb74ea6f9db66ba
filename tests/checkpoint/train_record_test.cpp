#include "checkpoint/train_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/formatted.h"
#include "checkpoint/changed_config.h"
#include "checkpoint/small_checkpoint.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// A whole record, with something in each place.
Checkpoint resumable() {
  auto checkpoint = checkpoint_of(kSmall, make_corpus("some text to learn from"));
  TrainRecord record;
  record.texts = {"/texts/one.txt", "/texts/two.txt"};
  record.fingerprint = {.bytes = 23, .hash = "0123"};
  record.valid_share = 0.1;
  record.corpus.max_tokens = 0;
  record.data.seed = ~uint64_t{0};
  record.data.offset = 3;
  record.options = {
      .epochs = 9,
      .updater = {.optimizer = Optimizer::kAdamW, .lr = 1.0 / 3, .weight_decay = 0.25},
      .prompts = {"time ", "a"}};
  record.settings = {{"threads", "2"}, {"save-every", "5 minutes"}};
  record.compute = {.backend = Backend::kFused, .precision = Precision::kBf16};
  record.chosen = Backend::kCudnn;
  record.build = "LibTorch 2";
  record.state.cpu_generator = torch::zeros({4}, torch::kUInt8);
  checkpoint.training = record;
  return checkpoint;
}

TEST(CheckpointedTraining, KeepsEveryOptionOfItsTraining) {
  const TempFolder folder;
  const auto saved = resumable();
  save_checkpoint(folder / "model", saved);
  const auto loaded = load_checkpoint(folder / "model");
  EXPECT_EQ(loaded.config, kSmall);
  ASSERT_TRUE(loaded.training);
  const auto& record = *loaded.training;
  EXPECT_EQ(record.texts, saved.training->texts);
  EXPECT_EQ(record.fingerprint, saved.training->fingerprint);
  EXPECT_EQ(record.valid_share, 0.1);
  EXPECT_EQ(record.corpus.max_tokens, 0);
  EXPECT_EQ(record.data.seed, ~uint64_t{0});
  EXPECT_EQ(record.data.offset, 3);
  EXPECT_EQ(record.options.epochs, 9);
  EXPECT_EQ(record.options.updater.lr, 1.0 / 3);
  EXPECT_EQ(record.options.updater.optimizer, Optimizer::kAdamW);
  EXPECT_EQ(record.options.updater.weight_decay, 0.25);
  EXPECT_THAT(record.options.prompts, ElementsAre("time ", "a"));
  EXPECT_EQ(record.compute, saved.training->compute);
  EXPECT_EQ(record.chosen, Backend::kCudnn);
  EXPECT_EQ(record.settings, saved.training->settings);
  EXPECT_EQ(record.build, "LibTorch 2");
  // And every other, as it is written.
  EXPECT_EQ(to_json(record), to_json(*saved.training));

  save_checkpoint(folder / "model", checkpoint_of(kSmall, make_corpus("x")));
  EXPECT_FALSE(load_checkpoint(folder / "model").training);
}

TEST(CheckpointedTraining, GoesOnByWhomItWasComputed) {
  const torch::Device gpu(torch::kCUDA, 0);
  TrainRecord record;
  record.compute = {.backend = Backend::kAuto, .graph = GraphMode::kOn};
  EXPECT_EQ(resumed_compute(record, gpu), record.compute);
  record.chosen = Backend::kCudnn;
  auto expected = record.compute;
  expected.preferred = Backend::kCudnn;
  EXPECT_EQ(resumed_compute(record, gpu), expected);
  EXPECT_EQ(resumed_compute(record, torch::kCPU), Compute{});
  record.compute.backend = Backend::kCudnn;
  EXPECT_EQ(resumed_compute(record, torch::kCPU), Compute{});
}

TEST(CheckpointedTraining, KeysOfATrainingThatAreNotKnownAreRefused) {
  const TempFolder folder;
  for (const std::string part :
       {"\"text_bytes\"", "\"min_freq\"", "\"batch_size\"", "\"clip\"", "\"steps\"", "\"stale\""}) {
    save_checkpoint(folder / "whole", resumable());
    auto content = load_safetensors(folder / "whole");
    auto& config = content.metadata.at("config");
    config.insert(config.find(part, config.find("\"training\"")), "\"unheard_of\":1,");
    save_safetensors(folder / "more", content);
    EXPECT_THAT(thrown<Error>([&] { load_checkpoint(folder / "more"); }),
                HasSubstr("has the unknown key 'unheard_of'"))
        << part;
  }
}

// The names of an object's members.
std::vector<std::string> keys_of(const nlohmann::json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) {
    keys.push_back(key);
  }
  return keys;
}

// What other programs, and later builds, look for in a file.
TEST(CheckpointedTraining, ItsKeysStayAsTheyAre) {
  const TempFolder folder;
  auto checkpoint = resumable();
  checkpoint.config.cell = Cell::kGru;
  const auto net = make_model(checkpoint.config, checkpoint.vocab.size(), torch::kCPU);
  checkpoint.weights = net->weights();
  auto& state = checkpoint.training->state;
  state.best.perplexity = 2;
  state.progress = {.epoch = 1, .batch = 1, .sums = {}, .carry = {torch::zeros({1, 3})}};
  state.progress.sums.loss = torch::zeros({}, torch::kFloat64);
  state.progress.sums.grad_norm = torch::zeros({}, torch::kFloat64);
  state.progress.sums.nonfinite = torch::zeros({}, torch::kInt64);
  state.updater = {{"b_q.step", torch::zeros({}, torch::kInt64)}};
  save_checkpoint(folder / "model", checkpoint);
  const auto content = load_safetensors(folder / "model");

  std::vector<std::string> metadata;
  for (const auto& [key, value] : content.metadata) {
    metadata.push_back(key);
  }
  EXPECT_THAT(metadata, UnorderedElementsAre("format", "version", "config"));
  EXPECT_EQ(content.metadata.at("format"), "unroll");
  EXPECT_EQ(content.metadata.at("version"), "1");
  std::vector<std::string> tensors;
  for (const auto& [name, tensor] : content.tensors) {
    if (!name.starts_with("model.")) {
      tensors.push_back(name);
    }
  }
  EXPECT_THAT(tensors, UnorderedElementsAre("updater.b_q.step", "sums.loss", "sums.grad_norm",
                                            "sums.nonfinite", "carry.0", "rng.cpu", "history"));

  const auto config = nlohmann::json::parse(content.metadata.at("config"));
  EXPECT_THAT(keys_of(config),
              UnorderedElementsAre("model", "cell", "hidden", "layers", "dropout", "gru_reset",
                                   "tokens", "normalize", "invalid_utf8", "epochs", "perplexity",
                                   "training", "vocab"));
  const auto& training = config.at("training");
  EXPECT_THAT(
      keys_of(training),
      UnorderedElementsAre("text", "text_bytes", "text_hash", "valid_share", "valid_text",
                           "valid_bytes", "valid_hash", "corpus", "data", "options", "progress",
                           "best", "settings", "build", "chosen", "compute", "precision", "graph"));
  EXPECT_THAT(keys_of(training.at("corpus")),
              UnorderedElementsAre("tokens", "normalize", "invalid_utf8", "max_tokens", "min_freq",
                                   "vocab_size"));
  EXPECT_THAT(keys_of(training.at("data")),
              UnorderedElementsAre("batch_size", "num_steps", "sampling", "seed", "offset"));
  EXPECT_THAT(
      keys_of(training.at("options")),
      UnorderedElementsAre("epochs", "lr", "optimizer", "momentum", "weight_decay", "clip",
                           "on_nonfinite", "schedule", "warmup", "min_lr", "lr_decay",
                           "lr_patience", "valid_every", "patience", "every", "predict", "prompt"));
  EXPECT_THAT(keys_of(training.at("progress")),
              UnorderedElementsAre("epoch", "batch", "tokens", "steps", "seconds"));
  EXPECT_THAT(keys_of(training.at("best")),
              UnorderedElementsAre("epoch", "waiting", "stale", "decays", "perplexity"));
}

TEST(CheckpointedTraining, ATrainingGoesOnWithItsDataItsParametersAndItsOptimizer) {
  const auto saved = resumable();
  const auto refused = [&](const std::string& expected, auto change) {
    auto config = saved.config;
    auto record = *saved.training;
    change(config, record);
    EXPECT_THAT(thrown<UsageError>([&] { check_resumable(saved, config, record); }),
                HasSubstr(expected));
  };
  refused("hidden 4 differs from the checkpoint's 3",
          [](auto& config, auto&) { config.hidden = 4; });
  refused("cell lstm", [](auto& config, auto&) { config.cell = Cell::kLstm; });
  refused("model concise", [](auto& config, auto&) { config.model = ModelKind::kConcise; });
  refused("max-tokens 5", [](auto&, auto& record) { record.corpus.max_tokens = 5; });
  refused("offset none", [](auto&, auto& record) { record.data.offset.reset(); });
  refused("sampling random", [](auto&, auto& record) { record.data.sampling = Sampling::kRandom; });
  refused("optimizer sgd",
          [](auto&, auto& record) { record.options.updater.optimizer = Optimizer::kSgd; });
  refused("momentum 0.5", [](auto&, auto& record) { record.options.updater.momentum = 0.5; });
  refused("valid none", [](auto&, auto& record) { record.valid_share = 0; });
  refused("valid text", [](auto&, auto& record) {
    record.valid_share = 0;
    record.valid_text = "/texts/valid.txt";
  });

  auto config = saved.config;
  config.model.reset();  // the default of one layer
  auto record = *saved.training;
  record.compute = {.backend = Backend::kPlain, .graph = GraphMode::kOff};
  record.options.epochs = 100;
  record.options.updater.lr = 0.1;
  record.texts = {"/elsewhere/one.txt"};
  check_resumable(saved, config, record);
}

TEST(CheckpointedTraining, TextsThatItCannotHoldAreKnownBefore) {
  for (auto place : {0, 1, 2, 3}) {
    auto record = *resumable().training;
    check(record);
    auto& text = place == 0   ? record.texts.front()
                 : place == 1 ? record.valid_text
                 : place == 2 ? record.options.prompts.front()
                              : record.settings["log"];
    text = "caf\xe9";
    EXPECT_THAT(thrown<Error>([&] { check(record); }), HasSubstr("not valid UTF-8")) << place;
  }
}

TEST(CheckpointedTraining, ADamagedTrainingIsRefusedByName) {
  const TempFolder folder;
  const auto refused = [&](const std::string& from, const std::string& to) {
    save_checkpoint(folder / "whole", resumable());
    change_config(folder / "whole", folder / "damaged", from, to);
    EXPECT_THAT(thrown<Error>([&] { load_checkpoint(folder / "damaged"); }), HasSubstr("damaged"))
        << to;
  };
  refused("\"batch\":0", "\"batch\":-1");
  refused("\"optimizer\":\"adamw\"", "\"optimizer\":\"lion\"");
  refused("\"batch_size\":32", "\"batch_size\":0");
  refused("\"max_tokens\":0", "\"max_tokens\":\"0\"");
  refused("\"sampling\":\"sequential\"", "\"sampling\":7");
  refused("\"settings\":{", "\"settings\":{\"x\":1,");
  refused("\"seed\":18446744073709551615", "\"seed\":-1");
  refused("\"offset\":3", "\"offset\":18446744073709551615");
  for (const char* name : {"carry.1", "carry.00", "carry.", "carry.18446744073709551616"}) {
    save_checkpoint(folder / "whole", resumable());
    auto content = load_safetensors(folder / "whole");
    content.tensors.push_back({name, torch::zeros({1})});
    save_safetensors(folder / "damaged", content);
    EXPECT_THAT(thrown<Error>([&] { load_checkpoint(folder / "damaged"); }), HasSubstr("carried"))
        << name;
  }
  save_checkpoint(folder / "whole", resumable());
  auto content = load_safetensors(folder / "whole");
  std::erase_if(content.tensors, [](const auto& tensor) { return tensor.name == "history"; });
  save_safetensors(folder / "damaged", content);
  thrown<Error>([&] { load_checkpoint(folder / "damaged"); });
}

}  // namespace
}  // namespace unroll
