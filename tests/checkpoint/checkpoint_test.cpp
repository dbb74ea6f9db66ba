#include "unroll/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/formatted.h"
#include "checkpoint/changed_config.h"
#include "checkpoint/small_checkpoint.h"
#include "support/model_configs.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/generate.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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
    change_config(folder / "whole", folder / "contradiction", from, to);
    EXPECT_THAT(thrown<Error>([&] { load_checkpoint(folder / "contradiction"); }),
                HasSubstr("contradiction"))
        << to;
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

}  // namespace
}  // namespace unroll
