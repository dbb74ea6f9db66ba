// What PyTorch's files hold of a model, and the model that they give back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/model_configs.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Vocab kTokens = Vocab::from_tokens({"<unk>", " ", "a", "b", "c"}, TokenKind::kChar);

std::vector<std::string> names_in(const std::filesystem::path& path) {
  std::vector<std::string> names;
  for (const auto& tensor : load_safetensors(path).tensors) {
    names.push_back(tensor.name);
  }
  return names;
}

class StateDict : public ::testing::Test {
 protected:
  std::filesystem::path path() const { return folder.path() / "net.safetensors"; }
  std::filesystem::path output() const { return folder.path() / "net.linear.safetensors"; }
  std::filesystem::path vocab() const { return folder.path() / "net.vocab.json"; }

  static Checkpoint checkpoint_of(const ModelConfig& config) {
    at::manual_seed(0);
    return make_checkpoint(*make_model(config, kTokens.size(), torch::kCPU), kTokens,
                           {.tokens = TokenKind::kChar});
  }
  static torch::Tensor logits(const Checkpoint& checkpoint) {
    const auto net = make_model(checkpoint, torch::kCPU);
    const Inference inference(*net);
    const auto X = torch::arange(12).remainder(kTokens.size()).view({2, 6});
    return net->forward(X, net->begin_state(2)).first;
  }
  void write(const NamedTensors& tensors) const { save_safetensors(path(), {.tensors = tensors}); }
  void write_vocab(
      const std::string& text =
          R"({"tokens": "char", "normalize": "none", "vocab": ["<unk>", "x", "y"]})") const {
    std::ofstream(vocab()) << text;
  }
  std::string refusal() const {
    return thrown<Error>([&] { load_state_dict(path()); });
  }

  // That of a layer of V 3 and H 2.
  static NamedTensors layer(int64_t gates, const std::string& prefix = "") {
    return {{prefix + "weight_ih_l0", torch::randn({gates * 2, 3})},
            {prefix + "weight_hh_l0", torch::randn({gates * 2, 2})},
            {prefix + "bias_ih_l0", torch::randn({gates * 2})},
            {prefix + "bias_hh_l0", torch::randn({gates * 2})}};
  }
  static NamedTensors with_output(NamedTensors tensors, const std::string& prefix = "out.") {
    tensors.push_back({prefix + "weight", torch::randn({3, 2})});
    tensors.push_back({prefix + "bias", torch::randn({3})});
    return tensors;
  }

  TempFolder folder;
};

TEST_F(StateDict, ComesBackAsTheSameModel) {
  auto models = all_models(6);
  models.push_back(models.back());  // of two layers
  models.back().dropout = 0.25;
  for (const auto& model : models) {
    const auto before = checkpoint_of(model);
    save_state_dict(path(), before, default_names(before));
    const auto after = load_state_dict(path());
    EXPECT_EQ(after.config, before.config) << name_of(model);
    EXPECT_EQ(after.vocab.tokens(), kTokens.tokens());
    EXPECT_TRUE(torch::equal(logits(after), logits(before))) << name_of(model);
  }
}

TEST_F(StateDict, ComesBackAsTheSameFunctionByTheOtherNames) {
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
    for (const auto kind : {ModelKind::kScratch, ModelKind::kConcise}) {
      ModelConfig config{.model = kind, .cell = cell, .hidden = 6};
      if (cell == Cell::kGru) {
        config.gru_reset = GruReset::kAfter;
      }
      const auto before = checkpoint_of(config);
      const auto other =
          kind == ModelKind::kScratch ? StateDictNames::kTorch : StateDictNames::kNotebook;
      save_state_dict(path(), before, other);
      const auto after = load_state_dict(path());
      EXPECT_NE(after.config.model, kind);
      EXPECT_TRUE(torch::allclose(logits(after), logits(before), 1e-5, 1e-6)) << to_string(cell);
      std::filesystem::remove(output());
    }
  }
}

TEST_F(StateDict, HasTheNamesOfItsReaders) {
  const auto concise =
      checkpoint_of({.model = ModelKind::kConcise, .cell = Cell::kLstm, .hidden = 6});
  save_state_dict(path(), concise, StateDictNames::kTorch);
  EXPECT_THAT(state_dict_files(path(), StateDictNames::kTorch),
              ElementsAre(path(), output(), vocab()));
  EXPECT_THAT(names_in(path()),
              ElementsAre("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"));
  EXPECT_THAT(names_in(output()), ElementsAre("weight", "bias"));
  const auto scratch = checkpoint_of({.hidden = 6});
  save_state_dict(path(), scratch, StateDictNames::kNotebook);
  EXPECT_THAT(state_dict_files(path(), StateDictNames::kNotebook), ElementsAre(path(), vocab()));
  EXPECT_THAT(names_in(path()), ElementsAre("W_xh", "W_hh", "b_h", "W_hq", "b_q"));
}

TEST_F(StateDict, OfAModuleOfOnesOwnIsReadWhateverItCallsItsParts) {
  write_vocab();
  const std::vector<std::pair<int64_t, Cell>> cells{
      {1, Cell::kRnn}, {3, Cell::kGru}, {4, Cell::kLstm}};
  for (const auto& [gates, cell] : cells) {
    const auto tensors = with_output(layer(gates, "body.rnn."), "head.");
    write(tensors);
    const auto checkpoint = load_state_dict(path());
    EXPECT_EQ(checkpoint.config.cell, cell);
    EXPECT_EQ(checkpoint.config.hidden, 2);
    EXPECT_EQ(checkpoint.text.normalize, Normalize::kNone);
    EXPECT_TRUE(torch::equal(tensor_named(checkpoint.weights, "linear.bias"),
                             tensor_named(tensors, "head.bias")));
  }
  EXPECT_EQ(load_state_dict(path(), Cell::kLstm).config.cell, Cell::kLstm);
}

TEST_F(StateDict, WithoutBiasesHasZeros) {
  write_vocab();
  auto tensors = with_output(layer(4));
  tensors.erase(tensors.begin() + 2, tensors.begin() + 4);
  write(tensors);
  EXPECT_TRUE(torch::equal(tensor_named(load_state_dict(path()).weights, "rnn.bias_hh_l0"),
                           torch::zeros({8})));
}

TEST_F(StateDict, AnOutputLayerWithoutBiasHasZeros) {
  write_vocab();
  auto tensors = with_output(layer(4));
  tensors.pop_back();
  write(tensors);
  EXPECT_TRUE(torch::equal(tensor_named(load_state_dict(path()).weights, "linear.bias"),
                           torch::zeros({3})));
}

TEST_F(StateDict, WithSomeOfItsBiasesIsDamaged) {
  write_vocab();
  auto tensors = with_output(layer(4));
  tensors.erase(tensors.begin() + 2);
  write(tensors);
  EXPECT_THAT(refusal(), HasSubstr("weight rnn.bias_ih_l0 of shape [8] is missing"));
}

TEST_F(StateDict, FilesOfOtherNamesHaveTheirOwnBesideThem) {
  EXPECT_THAT(state_dict_files("a/net-0.5", StateDictNames::kTorch),
              ElementsAre("a/net-0.5", "a/net-0.5.linear.safetensors", "a/net-0.5.vocab.json"));
}

TEST_F(StateDict, WhatCannotBeWrittenReplacesNothing) {
  auto checkpoint = checkpoint_of({.hidden = 6});
  save_state_dict(path(), checkpoint, StateDictNames::kTorch);
  const auto before = load_state_dict(path());
  checkpoint.weights[0].tensor = torch::ones({2, 2});
  thrown<Error>([&] { save_state_dict(path(), checkpoint, StateDictNames::kTorch); });
  checkpoint = checkpoint_of({.hidden = 6});
  checkpoint.vocab = Vocab::from_tokens({"<unk>", " ", "a", "b", "\xff"}, TokenKind::kWord);
  EXPECT_THAT(thrown<Error>([&] { save_state_dict(path(), checkpoint, StateDictNames::kTorch); }),
              HasSubstr("the vocabulary cannot be stored"));
  EXPECT_TRUE(torch::equal(logits(load_state_dict(path())), logits(before)));
}

TEST_F(StateDict, WhetherAnRnnIsReluMustBeSaid) {
  write_vocab();
  write(with_output(layer(1)));
  EXPECT_EQ(load_state_dict(path()).config.cell, Cell::kRnn);
  EXPECT_EQ(load_state_dict(path(), Cell::kRnnRelu).config.cell, Cell::kRnnRelu);
}

TEST_F(StateDict, AnotherCellIsRefused) {
  write_vocab();
  write(with_output(layer(4)));
  EXPECT_THAT(thrown<Error>([&] { load_state_dict(path(), Cell::kGru); }),
              HasSubstr("its weights have 4 gates, which is no gru"));
  write(with_output(layer(2)));
  EXPECT_THAT(refusal(), HasSubstr("its weights have 2 gates, expected 1, 3 or 4"));
  save_state_dict(path(), checkpoint_of({.hidden = 6}), StateDictNames::kNotebook);
  EXPECT_THAT(thrown<Error>([&] { load_state_dict(path(), Cell::kLstm); }),
              HasSubstr("its weights are of a rnn, not of a lstm"));
}

TEST_F(StateDict, WhatNoModelOfOursHasIsRefusedByName) {
  write_vocab();
  const auto refused_with = [&](const std::string& name) {
    auto tensors = with_output(layer(4));
    tensors.push_back({name, torch::randn({8, 3})});
    write(tensors);
    return refusal();
  };
  EXPECT_THAT(refused_with("weight_ih_l0_reverse"), HasSubstr("a layer of both directions"));
  EXPECT_THAT(refused_with("weight_hr_l0"), HasSubstr("a layer with proj_size"));
  EXPECT_THAT(
      refused_with("embedding.weight"),
      HasSubstr("'embedding.weight' is neither the recurrent layer's nor a single Linear's"));
  write(layer(4));
  EXPECT_THAT(refusal(),
              HasSubstr("it has no output layer: neither it nor net.linear.safetensors"));
  write({{"weight", torch::ones({2, 2})}});
  EXPECT_THAT(refusal(),
              HasSubstr("neither weight_ih_l0, as torch.nn's layers, nor the notebook's"));
  auto integers = with_output(layer(4));
  integers[0].tensor = integers[0].tensor.to(torch::kInt64);
  write(integers);
  EXPECT_THAT(refusal(), HasSubstr("its weight 'weight_ih_l0' is of Long"));
  auto scalar = with_output(layer(4));
  scalar[0].tensor = torch::ones({});
  scalar.erase(scalar.begin() + 2);
  write(scalar);
  EXPECT_THAT(refusal(), HasSubstr("weight rnn.weight_ih_l0 must have shape [8, 3], got []"));
}

TEST_F(StateDict, AVocabularyOfItsSizeMustLieBeside) {
  write(with_output(layer(4)));
  EXPECT_THAT(refusal(), HasSubstr("net.vocab.json: cannot be opened; it must hold {\"tokens\""));
  write_vocab("[1, 2");
  EXPECT_THAT(refusal(), HasSubstr("net.vocab.json: is no vocabulary ("));
  write_vocab("[]");
  EXPECT_THAT(refusal(), HasSubstr("it is not a JSON object"));
  write_vocab(R"({"tokens": "char", "normalize": "none"})");
  EXPECT_THAT(refusal(), HasSubstr("'vocab' is missing, expected the list of all tokens"));
  write_vocab(R"({"tokens": "char", "normalize": "none", "vocab": ["<unk>", "x"]})");
  EXPECT_THAT(refusal(), HasSubstr("must have shape [8, 2], got [8, 3]"));
}

TEST_F(StateDict, WhatTorchLacksIsWrittenByTheNotebooksNamesAlone) {
  const auto refused = [&](const ModelConfig& config, StateDictNames names) {
    return thrown<Error>([&] { save_state_dict(path(), checkpoint_of(config), names); });
  };
  EXPECT_THAT(refused({.cell = Cell::kGru, .hidden = 6}, StateDictNames::kTorch),
              HasSubstr("torch.nn.GRU resets after the product"));
  EXPECT_THAT(refused({.cell = Cell::kMlp, .hidden = 6}, StateDictNames::kTorch),
              HasSubstr("torch.nn has no mlp"));
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(StateDict, APickledFileIsNeverRead) {
  for (const std::string& begins :
       {std::string("PK\3\4archive"), std::string("\x80\2}q\0.....", 9)}) {
    std::ofstream(path(), std::ios::binary) << begins;
    EXPECT_THAT(refusal(),
                HasSubstr("is a pickled file, which can run any code and is never read"));
  }
}

}  // namespace
}  // namespace unroll
