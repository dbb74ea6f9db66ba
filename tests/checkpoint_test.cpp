#include "unroll/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model_configs.h"
#include "temp_folder.h"
#include "thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/predict.h"
#include "unroll/safetensors.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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

class CheckpointOfEachModel : public ::testing::TestWithParam<ModelConfig> {};

TEST_P(CheckpointOfEachModel, PredictsAsBefore) {
  const TempFolder folder;
  const auto saved = checkpoint_of(GetParam(), make_corpus("the time traveller"));
  save_checkpoint(folder / "model.safetensors", saved);
  const auto loaded = load_checkpoint(folder / "model.safetensors");

  EXPECT_EQ(name_of(loaded.config), name_of(saved.config));
  EXPECT_EQ(loaded.config.hidden, saved.config.hidden);
  EXPECT_EQ(loaded.vocab.tokens(), saved.vocab.tokens());
  EXPECT_EQ(loaded.epochs, 7);
  EXPECT_EQ(loaded.perplexity, 1.0 / 3);
  ASSERT_EQ(loaded.weights.size(), saved.weights.size());
  for (const auto& [name, weight] : saved.weights) {
    EXPECT_TRUE(torch::equal(at(loaded.weights, name), weight)) << name;
  }
  const auto before = make_model(saved, torch::kCPU);
  const auto after = make_model(loaded, torch::kCPU);
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
    save_checkpoint(folder / "model",
                    checkpoint_of(config_of(ModelKind::kScratch, Cell::kRnn, 3), corpus));
    const auto loaded = load_checkpoint(folder / "model");
    EXPECT_EQ(loaded.vocab.tokens(), corpus.vocab.tokens());
    EXPECT_EQ(loaded.vocab.kind(), kind);
    EXPECT_EQ(loaded.text.tokens, kind);
    EXPECT_EQ(loaded.text.normalize, Normalize::kNone);
  }
}

TEST(Checkpoint, ContradictionsAreRefusedByName) {
  const TempFolder folder;
  const auto saved =
      checkpoint_of(config_of(ModelKind::kScratch, Cell::kRnn, 3), make_corpus("some text"));
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
  refused("\"x\"", "\"x\",\"y\"");
  refused("\"x\"", "120");
  refused("\"tokens\":\"char\"", "\"tokens\":\"byte\"");
}

TEST(Checkpoint, BytesAreRefusedOutsideTheirRange) {
  const TempFolder folder;
  CorpusOptions options;
  options.text = {Normalize::kNone, TokenKind::kByte};
  save_checkpoint(folder / "whole", checkpoint_of(config_of(ModelKind::kScratch, Cell::kRnn, 3),
                                                  make_corpus("\xff", options)));
  auto content = load_safetensors(folder / "whole");
  auto& config = content.metadata.at("config");
  config.replace(config.find("255"), 3, "256");
  save_safetensors(folder / "wide", content);
  EXPECT_THAT(thrown<Error>([&] { load_checkpoint(folder / "wide"); }),
              AllOf(HasSubstr("wide"), HasSubstr("256")));
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

TEST(Checkpoint, WeightsThatDoNotFitTheDescriptionAreRefused) {
  auto checkpoint =
      checkpoint_of(config_of(ModelKind::kScratch, Cell::kRnn, 3), make_corpus("some text"));
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

}  // namespace
}  // namespace unroll
