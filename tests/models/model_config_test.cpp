#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/concise.h"
#include "unroll/error.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ModelConfig, NamesAreParsedBack) {
  for (const auto kind : {ModelKind::kScratch, ModelKind::kConcise, ModelKind::kFused}) {
    EXPECT_EQ(parse_model_kind(to_string(kind)), kind);
  }
  for (const auto cell : {Cell::kRnn, Cell::kGru, Cell::kLstm, Cell::kMlp}) {
    EXPECT_EQ(parse_cell(to_string(cell)), cell);
  }
  for (const auto reset : {GruReset::kBefore, GruReset::kAfter}) {
    EXPECT_EQ(parse_gru_reset(to_string(reset)), reset);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_model_kind("fast"); }),
              AllOf(HasSubstr("'fast'"), HasSubstr("scratch, concise or fused")));
  EXPECT_THAT(thrown<UsageError>([] { parse_cell("RNN"); }),
              AllOf(HasSubstr("'RNN'"), HasSubstr("rnn, gru, lstm or mlp")));
  EXPECT_THAT(thrown<UsageError>([] { parse_gru_reset(""); }), HasSubstr("''"));
}

TEST(ModelConfig, TheGrusResetIsTheBooksFromScratchAndTorchsOtherwise) {
  auto config = config_of(ModelKind::kScratch, Cell::kGru, 2);
  EXPECT_EQ(gru_reset(config), GruReset::kBefore);
  config.gru_reset = GruReset::kAfter;
  EXPECT_EQ(gru_reset(config), GruReset::kAfter);
  EXPECT_EQ(gru_reset(config_of(ModelKind::kConcise, Cell::kGru, 2)), GruReset::kAfter);
}

TEST(ModelConfig, AFusedModelHasTheParametersOfThePlainOneThatHasSoManyLayers) {
  auto config = config_of(ModelKind::kFused, Cell::kGru, 2);
  EXPECT_EQ(parameter_model(config).model, ModelKind::kScratch);
  EXPECT_EQ(gru_reset(config), GruReset::kBefore);
  config.layers = 2;
  EXPECT_EQ(parameter_model(config).model, ModelKind::kConcise);
  EXPECT_EQ(gru_reset(config), GruReset::kAfter);
  const auto concise = config_of(ModelKind::kConcise, Cell::kGru, 2);
  EXPECT_EQ(parameter_model(concise).model, ModelKind::kConcise);
}

TEST(ModelConfig, FlopsAreThoseOfThreeProductsWithEachWeight) {
  // 2 * 3 * (512 * 512 + 512 * 28)
  EXPECT_EQ(training_flops_per_token(config_of(ModelKind::kScratch, Cell::kRnn, 512), 28), 1658880);
  auto config = config_of(ModelKind::kConcise, Cell::kLstm, 8);
  config.layers = 2;
  EXPECT_EQ(training_flops_per_token(config, 5), 6 * (4 * 8 * 8 * 3 + 8 * 5));
}

TEST(ModelConfig, DescriptionsThatContradictThemselvesAreWrongUsage) {
  const auto refused = [](auto change, ModelKind kind = ModelKind::kScratch) {
    auto config = config_of(kind, Cell::kRnn, 4);
    change(config);
    return thrown<UsageError>([&] { make_model(config, 3, torch::kCPU); });
  };
  EXPECT_THAT(refused([](auto& c) { c.hidden = 0; }), HasSubstr("hidden must be >= 1, got 0"));
  EXPECT_THAT(refused([](auto& c) { c.layers = -2; }), HasSubstr("got -2"));
  EXPECT_THAT(refused([](auto& c) { c.layers = 2; }), HasSubstr("got 2"));
  refused([](auto& c) { c.gru_reset = GruReset::kAfter; });
  refused([](auto& c) { c.cell = Cell::kMlp; }, ModelKind::kConcise);
  refused([](auto& c) { c.cell = Cell::kMlp; }, ModelKind::kFused);
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
      ModelKind::kFused);
}

TEST(ModelConfig, DropoutIsForModelsOfSeveralLayers) {
  for (const auto kind : {ModelKind::kConcise, ModelKind::kFused}) {
    ModelConfig config{.model = kind, .layers = 2, .dropout = 0.5};
    EXPECT_NO_THROW(check(config));
    EXPECT_EQ(parameter_model(config).dropout, 0.5);
    config.layers = 1;
    EXPECT_EQ(thrown<UsageError>([&] { check(config); }),
              "dropout acts between layers, got dropout 0.5 with 1 layer");
  }
}

TEST(ModelConfig, OnlyAFusedModelHasAnotherPrecision) {
  ModelConfig config{.model = ModelKind::kScratch, .precision = Precision::kBf16};
  EXPECT_EQ(thrown<UsageError>([&] { check(config); }),
            "precision bf16 is the fused model's, got model scratch");
  config.model = ModelKind::kFused;
  EXPECT_NO_THROW(check(config));
  EXPECT_EQ(parameter_model(config).precision, Precision::kFp32);
  EXPECT_EQ(thrown<Error>([] { require_supported(Precision::kBf16x3, torch::kCUDA); }),
            "precision bf16x3 is computed on a CPU, got device cuda; choose fp32, bf16, or cpu");
  EXPECT_NO_THROW(require_supported(Precision::kBf16, torch::kCUDA));
  EXPECT_THAT(thrown<Error>([] { require_supported(Precision::kBf16, torch::kMPS); }),
              HasSubstr("got device mps"));
  EXPECT_EQ(thrown<Error>([&] { require_supported(config, torch::kCUDA); }),
            "precision bf16 on cuda needs the fused model's cuda_kernels; choose fp32, or cpu");
  config.cuda_kernels = true;
  EXPECT_NO_THROW(require_supported(config, torch::kCUDA));
}

TEST(ModelConfig, MakesTheModelItDescribes) {
  for (const auto& config : all_models(4)) {
    SCOPED_TRACE(name_of(config));
    const auto net = make_model(config, 3, torch::kCPU);
    EXPECT_EQ(dynamic_cast<RNNModel*>(net.get()) != nullptr, config.model == ModelKind::kConcise);
    EXPECT_EQ(dynamic_cast<RNNModelScratch*>(net.get()) != nullptr,
              config.model == ModelKind::kScratch);
    int64_t parameters = 0;
    for (const auto& weight : values(net->weights())) {
      parameters += weight.numel();
    }
    EXPECT_EQ(parameter_count(config, 3), parameters);
    EXPECT_EQ(net->device(), torch::Device(torch::kCPU));
    const auto state = net->begin_state(2);
    EXPECT_EQ(state.size(), config.cell == Cell::kMlp ? 0U : config.cell == Cell::kLstm ? 2U : 1U);
    for (const auto& s : state) {
      EXPECT_EQ(s.size(-2), 2);
      EXPECT_EQ(s.size(-1), 4);
    }
  }
}

}  // namespace
}  // namespace unroll
