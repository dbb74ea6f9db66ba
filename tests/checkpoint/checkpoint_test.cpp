#include "unroll/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/formatted.h"
#include "checkpoint/train_record.h"
#include "support/model_configs.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/concise.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/generate.h"
#include "unroll/scratch.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const ModelConfig kSmall{.model = ModelKind::kScratch, .cell = Cell::kRnn, .hidden = 3};

Checkpoint checkpoint_of(const ModelConfig& config, const Corpus& corpus) {
  at::manual_seed(0);
  const auto net = make_model(config, corpus.vocab.size(), torch::kCPU);
  for (const auto& weight : values(net->weights())) {
    weight.data().normal_();
  }
  return {.config = config,
          .vocab = corpus.vocab,
          .text = corpus.text,
          .weights = net->weights(),
          .epochs = 7,
          .perplexity = 1.0 / 3};
}

class CheckpointOfEachModel : public ::testing::TestWithParam<TestModel> {};

TEST_P(CheckpointOfEachModel, PredictsAsBefore) {
  const TempFolder folder;
  const auto saved = checkpoint_of(GetParam(), make_corpus("the time traveller"));
  save_checkpoint(folder / "model.safetensors", saved);
  const auto loaded = load_checkpoint(folder / "model.safetensors");

  EXPECT_EQ(loaded.config, resolved(saved.config));
  EXPECT_EQ(loaded.vocab.tokens(), saved.vocab.tokens());
  EXPECT_EQ(loaded.epochs, 7);
  EXPECT_EQ(loaded.perplexity, 1.0 / 3);
  ASSERT_EQ(loaded.weights.size(), saved.weights.size());
  for (const auto& [name, weight] : saved.weights) {
    EXPECT_TRUE(torch::equal(tensor_named(loaded.weights, name), weight)) << name;
  }
  const auto before = make_model(saved, torch::kCPU, GetParam().compute);
  const auto after = make_model(loaded, torch::kCPU, GetParam().compute);
  EXPECT_EQ(predict_ch8("time", 30, *after, loaded.vocab),
            predict_ch8("time", 30, *before, saved.vocab));
}

INSTANTIATE_TEST_SUITE_P(Models, CheckpointOfEachModel, ::testing::ValuesIn(all_models(6)),
                         [](const auto& info) { return name_of(info.param); });

TEST(Checkpoint, KeepsHowTheTextWasRead) {
  const TempFolder folder;
  for (const auto kind : {TokenKind::kChar, TokenKind::kWord, TokenKind::kByte}) {
    CorpusOptions options;
    options.text = {Normalize::kNone, kind};
    const auto corpus = make_corpus("\"caf\xc3\xa9\"\n\x01 end", options);
    save_checkpoint(folder / "model", checkpoint_of(kSmall, corpus));
    const auto loaded = load_checkpoint(folder / "model");
    EXPECT_EQ(loaded.vocab.tokens(), corpus.vocab.tokens());
    EXPECT_EQ(loaded.vocab.kind(), kind);
    EXPECT_EQ(loaded.text.tokens, kind);
    EXPECT_EQ(loaded.text.normalize, Normalize::kNone);
  }
}

TEST(Checkpoint, ContradictionsAreRefusedByName) {
  const TempFolder folder;
  const auto saved = checkpoint_of(kSmall, make_corpus("some text"));
  const auto refused = [&](const std::string& from, const std::string& to) {
    save_checkpoint(folder / "whole", saved);
    auto content = load_safetensors(folder / "whole");
    auto& config = content.metadata.at("config");
    const auto at = config.find(from);
    ASSERT_NE(at, std::string::npos) << config;
    config.replace(at, from.size(), to);
    save_safetensors(folder / "contradiction", content);
    EXPECT_THAT(thrown<Error>([&] { load_checkpoint(folder / "contradiction"); }),
                HasSubstr("contradiction"))
        << config;
  };
  refused("\"hidden\":3", "\"hidden\":4");
  refused("\"hidden\":3", "\"hidden\":1000000");
  refused("\"hidden\":3", "\"hidden\":2305843009213693952");
  refused("\"cell\":\"rnn\"", "\"cell\":\"lstm\"");
  refused("\"epochs\":7", "\"epochs\":-7");
  refused("\"epochs\":7", "\"epochs\":7.5");
  refused("\"epochs\":7", "\"epochs\":1e300");
  refused("\"epochs\":7", "\"epochs\":9223372036854775808");
  refused("\"x\"", "\"x\",\"y\"");
  refused("\"x\"", "120");
  refused("\"x\"", "\"xy\"");
  refused("\"x\"", "\"\"");
  refused("\"tokens\":\"char\"", "\"tokens\":\"byte\"");
}

TEST(Checkpoint, BytesAreRefusedOutsideTheirRange) {
  const TempFolder folder;
  CorpusOptions options;
  options.text = {Normalize::kNone, TokenKind::kByte};
  save_checkpoint(folder / "whole", checkpoint_of(kSmall, make_corpus("\xff", options)));
  auto content = load_safetensors(folder / "whole");
  auto& config = content.metadata.at("config");
  config.replace(config.find("255"), 3, "256");
  save_safetensors(folder / "wide", content);
  EXPECT_THAT(thrown<Error>([&] { load_checkpoint(folder / "wide"); }),
              AllOf(HasSubstr("wide"), HasSubstr("256")));
}

// Text within text may have as many levels as the file has bytes.
TEST(Checkpoint, ADeepOrLongConfigIsRefusedInALine) {
  const TempFolder folder;
  const std::string begin(1'000'000, '[');
  const std::string end(1'000'000, ']');
  std::string members;
  for (int i = 0; i < 200'000; ++i) {
    members += formatted(R"("{}":1,)", i);
  }
  const std::string hidden = R"({"model":"scratch","cell":"rnn","layers":1,"hidden":)";
  for (const auto& config : {begin, hidden + begin + end + "}", hidden + "{" + members + "\"\":1}}",
                             "{" + members + "\"hidden\":1}"}) {
    save_safetensors(folder / "deep",
                     {{}, {{"format", "unroll"}, {"version", "1"}, {"config", config}}});
    const auto message = thrown<Error>([&] { load_checkpoint(folder / "deep"); });
    EXPECT_THAT(message, HasSubstr("deep"));
    EXPECT_LT(message.size(), 500U);
  }
}

TEST(Checkpoint, OtherFilesAreRefused) {
  const TempFolder folder;
  const auto refused = [&](const SafeTensors& content) {
    save_safetensors(folder / "foreign", content);
    const auto message = thrown<Error>([&] { load_checkpoint(folder / "foreign"); });
    EXPECT_THAT(message, HasSubstr("foreign"));
    return message;
  };
  refused({{{"weight", torch::rand({2})}}, {}});
  refused({{}, {{"format", "pt"}}});
  EXPECT_THAT(refused({{}, {{"format", "unroll"}, {"version", "99"}}}), HasSubstr("99"));
  refused({{}, {{"format", "unroll"}, {"version", "1"}}});
  for (const char* config :
       {"", "{}", "[1]", "7", R"({"model":"scratch","cell":"what"})",
        R"({"model":"scratch","cell":"rnn","hidden":-1,"layers":1,"tokens":"char",)"
        R"("normalize":"letters","epochs":1,"perplexity":1,"vocab":["<unk>"]})",
        R"({"model":"scratch","cell":"rnn","hidden":2,"layers":1,"tokens":"char",)"
        R"("normalize":"letters","epochs":1,"perplexity":1,"vocab":["<unk>","a","a"]})",
        R"({"model":"scratch","cell":"rnn","hidden":"2","layers":1,"tokens":"char",)"
        R"("normalize":"letters","epochs":1,"perplexity":1,"vocab":"<unk>"})"}) {
    SCOPED_TRACE(config);
    refused({{}, {{"format", "unroll"}, {"version", "1"}, {"config", config}}});
  }
  thrown<Error>([&] { load_checkpoint(folder.write("text.txt", "The Time Machine, by Wells")); });
  thrown<Error>([&] { load_checkpoint(folder / "missing"); });
}

TEST(Checkpoint, WeightsThatAreNoFractionsAreRefused) {
  const TempFolder folder;
  save_checkpoint(folder / "whole", checkpoint_of(kSmall, make_corpus("some text")));
  auto content = load_safetensors(folder / "whole");
  auto& weight = content.tensors.front().tensor;
  weight = weight.to(torch::kBool);
  save_safetensors(folder / "bool", content);
  EXPECT_THAT(thrown<Error>([&] { load_checkpoint(folder / "bool"); }),
              AllOf(HasSubstr("W_xh"), HasSubstr("Bool")));
}

TEST(Checkpoint, OfAModelIsWhatItComputes) {
  const TempFolder folder;
  const auto corpus = make_corpus("some text");
  const int64_t V = corpus.vocab.size();
  at::manual_seed(0);
  RNNModel net(torch::nn::RNN(torch::nn::RNNOptions(V, 4).nonlinearity(torch::kReLU)), V);
  save_checkpoint(folder / "relu", make_checkpoint(net, corpus.vocab, corpus.text));
  const auto loaded = load_checkpoint(folder / "relu");
  EXPECT_EQ(loaded.config.cell, Cell::kRnnRelu);
  const auto X = torch::arange(V).view({1, V});
  EXPECT_TRUE(torch::equal(make_model(loaded, torch::kCPU, {.backend = Backend::kPlain})
                               ->forward(X, net.begin_state(1))
                               .first,
                           net.forward(X, net.begin_state(1)).first));
}

TEST(Checkpoint, WhatNoDescriptionStandsForIsNotWritten) {
  const TempFolder folder;
  const auto corpus = make_corpus("some text");
  const int64_t V = corpus.vocab.size();
  const RNNModel unbiased(torch::nn::LSTM(torch::nn::LSTMOptions(V, 4).bias(false)), V);
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(unbiased, corpus.vocab, corpus.text); }),
            "no description stands for this model: its recurrent layer has no biases");
  const RNNModelScratch own(V, 4, torch::kCPU, get_params, init_rnn_state,
                            [](const auto&... given) { return rnn(given...); });
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(own, corpus.vocab, corpus.text); }),
            "no description stands for this scratch model: its forward function is its own");
  const auto net = make_model(kSmall, V + 1, torch::kCPU);
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(*net, corpus.vocab, corpus.text); }),
            formatted("the vocabulary must have the model's {} entries, got {}", V + 1, V));
}

TEST(Checkpoint, WeightsOfAnotherModelAreNotWritten) {
  const TempFolder folder;
  const auto saved = checkpoint_of(kSmall, make_corpus("some text"));
  const auto refused = [&](auto change) {
    auto other = saved;
    change(other);
    const auto message = thrown<Error>([&] { save_checkpoint(folder / "other", other); });
    EXPECT_FALSE(std::filesystem::exists(folder / "other"));
    return message;
  };
  EXPECT_THAT(refused([](auto& other) { other.config.hidden = 4; }),
              HasSubstr("weight W_xh must have shape [8, 4], got [8, 3]"));
  EXPECT_THAT(refused([](auto& other) { other.weights.pop_back(); }),
              HasSubstr("weight b_q of shape [8] is missing"));
  EXPECT_THAT(refused([](auto& other) { other.weights[0].name = "W_xy"; }), HasSubstr("W_xh"));
  EXPECT_THAT(refused([](auto& other) {
                other.weights[1].tensor = other.weights[1].tensor.to(torch::kFloat64);
              }),
              HasSubstr("weight W_hh must be of Float, got Double"));
}

TEST(Checkpoint, WhatCouldNotBeReadIsNotWritten) {
  const TempFolder folder;
  CorpusOptions by_word;
  by_word.text = {Normalize::kLetters, TokenKind::kWord};
  const auto words = make_corpus("some words of a text", by_word);
  const auto net = make_model(kSmall, words.vocab.size(), torch::kCPU);
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(*net, words.vocab, {}); }),
            "the vocabulary is of tokens by word, but the text was read by char");
  const Vocab reserved({{"a"}}, 0, {"<pad>"});
  EXPECT_EQ(
      thrown<Error>([&] { make_checkpoint(*make_model(kSmall, 3, torch::kCPU), reserved, {}); }),
      "a token by char must be one code point, got '<pad>'");
  for (const auto& weight : values(net->weights())) {
    weight.set_data(weight.to(torch::kFloat64));
  }
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(*net, words.vocab, words.text); }),
            "weight W_xh must be of Float, got Double");
  auto checkpoint = checkpoint_of(kSmall, words);
  checkpoint.epochs = -1;
  thrown<Error>([&] { save_checkpoint(folder / "model", checkpoint); });
  EXPECT_EQ(folder.size(), 0);
  checkpoint.epochs = 1;
  checkpoint.perplexity = std::numeric_limits<double>::infinity();
  save_checkpoint(folder / "model", checkpoint);
  EXPECT_EQ(load_checkpoint(folder / "model").perplexity, 0);
}

TEST(Checkpoint, OfAStateThatIsNotZeroIsNotWritten) {
  const auto corpus = make_corpus("some text");
  const RNNModelScratch net(
      corpus.vocab.size(), 4, torch::kCPU, get_params,
      [](int64_t B, int64_t H, torch::Device) {
        return State{torch::full({B, H}, 0.5)};
      },
      rnn);
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(net, corpus.vocab, corpus.text); }),
            "no description stands for this scratch model: its first state is its own");
}

// A file as Python would write it: no more than is needed, the tensors in another order.
SafeTensors minimal_file() {
  return {.tensors = {{"model.b_q", torch::zeros({3})},
                      {"model.b_h", torch::zeros({2})},
                      {"model.W_hq", torch::zeros({2, 3})},
                      {"model.W_hh", torch::zeros({2, 2}, torch::kFloat64)},
                      {"model.W_xh", torch::ones({3, 2})}},
          .metadata = {
              {"format", "unroll"},
              {"version", "1"},
              {"config", R"({"model":"scratch","cell":"rnn","hidden":2,"layers":1,"tokens":"char",)"
                         R"("normalize":"letters","vocab":["<unk>","a","b"]})"}}};
}

// What is said of the minimal file after a change of its config.
std::string refused_config(const std::string& from, const std::string& to) {
  const TempFolder folder;
  auto content = minimal_file();
  auto& config = content.metadata.at("config");
  const auto at = config.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  config.replace(at, from.size(), to);
  save_safetensors(folder / "other", content);
  const auto message = thrown<Error>([&] { load_checkpoint(folder / "other"); });
  const std::string begin = (folder / "other").string() + ": is not an unroll checkpoint: ";
  EXPECT_TRUE(message.starts_with(begin)) << message;
  return message.substr(std::min(message.size(), begin.size()));
}

TEST(CheckpointFromPython, NeedsNoMoreThanItsModelAndItsTokens) {
  const TempFolder folder;
  save_safetensors(folder / "minimal", minimal_file());
  const auto loaded = load_checkpoint(folder / "minimal");
  EXPECT_EQ(loaded.weights.front().name, "W_xh");
  EXPECT_EQ(loaded.epochs, 0);
  const auto net = make_model(loaded, torch::kCPU);
  EXPECT_TRUE(torch::equal(net->weights().front().tensor, torch::ones({3, 2})));
  save_checkpoint(folder / "again", loaded);  // what was read can be written
}

TEST(CheckpointFromPython, AKeyThatIsMissingIsNamedWithWhatItHolds) {
  EXPECT_EQ(refused_config(R"("model":"scratch",)", ""),
            "'model' is missing, expected one of scratch, concise");
  EXPECT_EQ(refused_config(R"("hidden":2,)", ""),
            "'hidden' is missing, expected an integer: hidden units of a layer");
  EXPECT_EQ(refused_config(R"("normalize":"letters",)", ""),
            "'normalize' is missing, expected one of letters, none");
  EXPECT_EQ(refused_config(R"(,"vocab":["<unk>","a","b"])", ""),
            "'vocab' is missing, expected the list of all tokens, <unk> first");
}

TEST(CheckpointFromPython, KeysAndValuesThatAreNotKnownAreRefused) {
  EXPECT_EQ(refused_config(R"("hidden":2)", R"("hidden":2,"nonlinearity":"relu")"),
            "its config has the unknown key 'nonlinearity'");
  EXPECT_EQ(refused_config(R"("cell":"rnn")", R"("cell":"relu")"),
            "cell must be rnn, rnn-relu, gru, lstm or mlp, got 'relu'");
  EXPECT_EQ(refused_config(R"("cell":"rnn")", R"("cell":1)"),
            "cell must be one of rnn, rnn-relu, gru, lstm, mlp, got 1");
  EXPECT_EQ(refused_config(R"("hidden":2)", R"("hidden":2,"dropout":"0.5")"),
            "dropout must be a number, got \"0.5\"");
  EXPECT_EQ(refused_config(R"("vocab":["<unk>","a","b"])", R"("vocab":"ab")"),
            "'vocab' is no list, expected the list of all tokens, <unk> first");
}

TEST(CheckpointFromPython, TensorsThatAreNotKnownAreRefused) {
  const TempFolder folder;
  const auto refused = [&](const NamedTensor& further) {
    auto content = minimal_file();
    content.tensors.push_back(further);
    save_safetensors(folder / "more", content);
    return thrown<Error>([&] { load_checkpoint(folder / "more"); });
  };
  EXPECT_THAT(refused({"model.b_r", torch::zeros({2})}),
              HasSubstr("weight 'b_r' is not the model's"));
  EXPECT_THAT(refused({"extra", torch::zeros({2})}), HasSubstr("its tensor 'extra' is not known"));
  EXPECT_THAT(refused({"history", torch::zeros({2})}), HasSubstr("its tensor 'history'"));
}

TEST(Checkpoint, WeightsThatDoNotFitTheDescriptionAreRefused) {
  auto checkpoint = checkpoint_of(kSmall, make_corpus("some text"));
  checkpoint.config.hidden = 4;
  EXPECT_THAT(thrown<Error>([&] { make_model(checkpoint, torch::kCPU); }),
              AllOf(HasSubstr("W_xh"), HasSubstr("3")));
  checkpoint.config.hidden = 3;
  checkpoint.config.cell = Cell::kLstm;
  thrown<Error>([&] { make_model(checkpoint, torch::kCPU); });
  checkpoint.config.cell = Cell::kRnn;
  checkpoint.weights.pop_back();
  EXPECT_THAT(thrown<Error>([&] { make_model(checkpoint, torch::kCPU); }), HasSubstr("b_q"));
}

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
  record.build = "LibTorch 2";
  record.state.cpu_generator = torch::zeros({4}, torch::kUInt8);
  checkpoint.training = record;
  return checkpoint;
}

TEST(Checkpoint, KeepsEveryOptionOfItsTraining) {
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
  EXPECT_EQ(record.settings, saved.training->settings);
  EXPECT_EQ(record.build, "LibTorch 2");
  // And every other, as it is written.
  EXPECT_EQ(to_json(record), to_json(*saved.training));

  save_checkpoint(folder / "model", checkpoint_of(kSmall, make_corpus("x")));
  EXPECT_FALSE(load_checkpoint(folder / "model").training);
}

TEST(Checkpoint, KeysOfATrainingThatAreNotKnownAreRefused) {
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
TEST(Checkpoint, ItsKeysStayAsTheyAre) {
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
                           "best", "settings", "build", "compute", "precision", "graph"));
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

TEST(Checkpoint, ATrainingGoesOnWithItsDataItsParametersAndItsOptimizer) {
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

TEST(Checkpoint, TextsThatItCannotHoldAreKnownBefore) {
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

TEST(Checkpoint, ADamagedTrainingIsRefusedByName) {
  const TempFolder folder;
  const auto refused = [&](const std::string& from, const std::string& to) {
    save_checkpoint(folder / "whole", resumable());
    auto content = load_safetensors(folder / "whole");
    auto& config = content.metadata.at("config");
    const auto at = config.find(from);
    ASSERT_NE(at, std::string::npos) << config;
    config.replace(at, from.size(), to);
    save_safetensors(folder / "damaged", content);
    EXPECT_THAT(thrown<Error>([&] { load_checkpoint(folder / "damaged"); }), HasSubstr("damaged"))
        << config;
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
