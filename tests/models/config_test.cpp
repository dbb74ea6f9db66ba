#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ModelConfig, NamesAreParsedBack) {
  for (const auto kind : {ModelKind::kScratch, ModelKind::kConcise}) {
    EXPECT_EQ(parse_enum<ModelKind>(to_string(kind)), kind);
  }
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm, Cell::kMlp}) {
    EXPECT_EQ(parse_enum<Cell>(to_string(cell)), cell);
  }
  for (const auto reset : {GruReset::kBefore, GruReset::kAfter}) {
    EXPECT_EQ(parse_enum<GruReset>(to_string(reset)), reset);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<ModelKind>("fused"); }),
              AllOf(HasSubstr("'fused'"), HasSubstr("scratch or concise")));
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<Cell>("RNN"); }),
              AllOf(HasSubstr("'RNN'"), HasSubstr("rnn, rnn-relu, gru, lstm or mlp")));
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<GruReset>(""); }), HasSubstr("''"));
}

TEST(ModelConfig, TheGrusResetIsTheBooksFromScratchAndTorchsOtherwise) {
  ModelConfig config = plain(ModelKind::kScratch, Cell::kGru, 2);
  EXPECT_EQ(resolved(config).gru_reset, GruReset::kBefore);
  config.gru_reset = GruReset::kAfter;
  EXPECT_EQ(resolved(config).gru_reset, GruReset::kAfter);
  EXPECT_EQ(resolved(plain(ModelKind::kConcise, Cell::kGru, 2)).gru_reset, GruReset::kAfter);
  EXPECT_EQ(resolved({.cell = Cell::kLstm}).gru_reset, std::nullopt);
}

TEST(ModelConfig, WithoutAKindItIsTheOneThatHasSoManyLayers) {
  ModelConfig config{.cell = Cell::kGru, .hidden = 2};
  EXPECT_EQ(resolved(config).model, ModelKind::kScratch);
  EXPECT_EQ(resolved(config).gru_reset, GruReset::kBefore);
  config.layers = 2;
  EXPECT_EQ(resolved(config).model, ModelKind::kConcise);
  EXPECT_EQ(resolved(config).gru_reset, GruReset::kAfter);
  EXPECT_EQ(resolved({.model = ModelKind::kConcise}).model, ModelKind::kConcise);
  EXPECT_EQ(resolved(resolved(config)), resolved(config));
}

TEST(ModelConfig, FlopsAreThoseOfThreeProductsWithEachWeight) {
  // 2 * 3 * (512 * 512 + 512 * 28)
  EXPECT_EQ(training_flops_per_token(plain(ModelKind::kScratch, Cell::kRnn, 512), 28), 1658880);
  ModelConfig config = plain(ModelKind::kConcise, Cell::kLstm, 8);
  config.layers = 2;
  EXPECT_EQ(training_flops_per_token(config, 5), 6 * (4 * 8 * 8 * 3 + 8 * 5));
}

TEST(ModelConfig, DescriptionsThatContradictThemselvesAreWrongUsage) {
  const auto refused = [](auto change, std::optional<ModelKind> kind = ModelKind::kScratch) {
    ModelConfig config{.model = kind, .cell = Cell::kRnn, .hidden = 4};
    change(config);
    const auto message = thrown<UsageError>([&] { check(config); });
    EXPECT_EQ(thrown<UsageError>([&] { make_model(config, 3, torch::kCPU); }), message);
    return message;
  };
  EXPECT_THAT(refused([](auto& c) { c.hidden = 0; }), HasSubstr("hidden must be >= 1, got 0"));
  EXPECT_THAT(refused([](auto& c) { c.layers = -2; }), HasSubstr("got -2"));
  EXPECT_THAT(refused([](auto& c) { c.layers = 2; }), HasSubstr("got 2"));
  refused([](auto& c) { c.gru_reset = GruReset::kAfter; });
  refused([](auto& c) { c.cell = Cell::kMlp; }, ModelKind::kConcise);
  EXPECT_THAT(refused(
                  [](auto& c) {
                    c.cell = Cell::kMlp;
                    c.layers = 2;
                  },
                  std::nullopt),
              HasSubstr("got 2"));
  const auto gru_before = [](auto& c) {
    c.cell = Cell::kGru;
    c.gru_reset = GruReset::kBefore;
  };
  refused(gru_before, ModelKind::kConcise);
  refused(
      [&](auto& c) {
        gru_before(c);
        c.layers = 2;
      },
      std::nullopt);
}

TEST(ModelConfig, DropoutIsForModelsOfSeveralLayers) {
  for (const auto kind : {std::optional(ModelKind::kConcise), std::optional<ModelKind>()}) {
    ModelConfig config{.model = kind, .layers = 2, .dropout = 0.5};
    EXPECT_NO_THROW(check(config));
    EXPECT_EQ(resolved(config).dropout, 0.5);
    config.layers = 1;
    EXPECT_EQ(thrown<UsageError>([&] { check(config); }),
              "dropout acts between layers, got dropout 0.5 with 1 layer");
  }
}

TEST(ModelConfig, ParametersAndStatesAreCountedAndShapedAsDescribed) {
  for (const auto& model : all_models(4)) {
    SCOPED_TRACE(name_of(model));
    const auto net = make_model(model, 3, torch::kCPU);
    int64_t parameters = 0;
    for (const auto& weight : values(net->weights())) {
      parameters += weight.numel();
    }
    EXPECT_EQ(parameter_count(model, 3), parameters);
    EXPECT_EQ(net->device(), torch::Device(torch::kCPU));
    const auto state = net->begin_state(2);
    EXPECT_EQ(state.size(), model.cell == Cell::kMlp ? 0U : model.cell == Cell::kLstm ? 2U : 1U);
    for (const auto& s : state) {
      EXPECT_EQ(s.size(-2), 2);
      EXPECT_EQ(s.size(-1), 4);
    }
  }
}

}  // namespace
}  // namespace unroll
