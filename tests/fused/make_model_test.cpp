#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/concise.h"
#include "unroll/error.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

TEST(Compute, NamesAreReadAsTheyAreWritten) {
  for (const auto backend : {Backend::kAuto, Backend::kPlain, Backend::kFused}) {
    EXPECT_EQ(parse_enum<Backend>(to_string(backend)), backend);
  }
  for (const auto precision : {Precision::kFp32, Precision::kBf16x3, Precision::kBf16}) {
    EXPECT_EQ(parse_enum<Precision>(to_string(precision)), precision);
  }
  for (const auto graph : {GraphMode::kAuto, GraphMode::kOn, GraphMode::kOff}) {
    EXPECT_EQ(parse_enum<GraphMode>(to_string(graph)), graph);
  }
  EXPECT_EQ(thrown<UsageError>([] { parse_enum<Backend>("scratch"); }),
            "compute must be auto, plain, fused or cudnn, got 'scratch'");
  EXPECT_EQ(thrown<UsageError>([] { parse_enum<Precision>("fp16"); }),
            "precision must be fp32, bf16x3 or bf16, got 'fp16'");
  EXPECT_EQ(thrown<UsageError>([] { parse_enum<GraphMode>("On"); }),
            "graph must be auto, on or off, got 'On'");
}

// The message of check, which make_model gives too.
std::string refused(const ModelConfig& config, const Compute& compute) {
  const auto message = thrown<UsageError>([&] { check(config, compute); });
  EXPECT_EQ(thrown<UsageError>([&] { make_model(config, 3, torch::kCPU, compute); }), message);
  return message;
}

TEST(Compute, OnlyTheFusedBackendHasAnotherPrecision) {
  const ModelConfig rnn{.hidden = 4};
  const ModelConfig mlp{.cell = Cell::kMlp, .hidden = 4};
  EXPECT_EQ(refused(rnn, {.backend = Backend::kPlain, .precision = Precision::kBf16}),
            "precision bf16 is the fused backend's, got compute plain");
  EXPECT_EQ(refused(mlp, {.precision = Precision::kBf16x3}),
            "precision bf16x3 is the fused backend's, got cell mlp");
  for (const auto backend : {Backend::kAuto, Backend::kFused}) {
    EXPECT_NO_THROW(check(rnn, {.backend = backend, .precision = Precision::kBf16}));
  }
}

TEST(Compute, TheMlpHasNothingToFuse) {
  const ModelConfig mlp{.cell = Cell::kMlp, .hidden = 4};
  EXPECT_EQ(refused(mlp, {.backend = Backend::kFused}),
            "the mlp cell has no recurrence to fuse; choose compute plain or auto");
  EXPECT_NO_THROW(check(mlp, {.backend = Backend::kAuto}));
  EXPECT_NO_THROW(check(mlp, {.backend = Backend::kPlain}));
}

TEST(Compute, CudnnHasWhatTorchHas) {
  const Compute cudnn{.backend = Backend::kCudnn};
  EXPECT_EQ(refused({.cell = Cell::kMlp, .hidden = 4}, cudnn),
            "cuDNN has no mlp cell; choose compute plain or auto");
  ModelConfig gru{.cell = Cell::kGru, .hidden = 4};
  EXPECT_EQ(refused(gru, cudnn),
            "cuDNN's gru resets after the product; choose gru-reset after, or compute auto");
  gru.gru_reset = GruReset::kAfter;
  EXPECT_NO_THROW(check(gru, cudnn));
  EXPECT_NO_THROW(
      check({.hidden = 4}, {.backend = Backend::kCudnn, .precision = Precision::kBf16}));
}

TEST(Compute, AContradictoryDescriptionIsRefusedFirst) {
  EXPECT_EQ(refused({.hidden = 0}, {.backend = Backend::kPlain, .precision = Precision::kBf16}),
            "hidden must be >= 1, got 0");
}

TEST(RequireSupported, WhatTheCpuLacksIsNamed) {
  EXPECT_TRUE(is_supported(Precision::kFp32));
  EXPECT_NO_THROW(require_supported({}, torch::kCPU));
  EXPECT_EQ(is_supported(Precision::kBf16), is_supported(Precision::kBf16x3));
  const auto require = [] { require_supported({.precision = Precision::kBf16x3}, torch::kCPU); };
  if (is_supported(Precision::kBf16)) {
    EXPECT_NO_THROW(require());
  } else {
    const std::string message =
        "precision bf16x3 needs a CPU with AMX (amx_tile, amx_bf16, avx512_bf16) that the "
        "system lets programs use; choose fp32";
    EXPECT_EQ(thrown<Error>(require), message);
    EXPECT_EQ(thrown<Error>([] {
                make_model({.hidden = 4}, 3, torch::kCPU, {.precision = Precision::kBf16x3});
              }),
              message);
  }
}

TEST(RequireSupported, WhatADeviceLacksIsNamed) {
  EXPECT_EQ(
      thrown<Error>([] { require_supported({.precision = Precision::kBf16x3}, torch::kCUDA); }),
      "precision bf16x3 is computed on a CPU, got device cuda; choose fp32, bf16, or cpu");
  EXPECT_THAT(
      thrown<Error>([] { require_supported({.precision = Precision::kBf16}, torch::kMPS); }),
      HasSubstr("got device mps"));
  const auto require = [] { require_supported({.precision = Precision::kBf16}, torch::kCUDA); };
  if (cuda_part_problem().empty()) {
    EXPECT_NO_THROW(require());
  } else {
    EXPECT_EQ(thrown<Error>(require), "precision bf16 on cuda needs our own kernels: " +
                                          cuda_part_problem() + "; choose fp32, or cpu");
  }
}

TEST(RequireSupported, CudnnNeedsCuda) {
  const auto message = "compute cudnn needs a CUDA device with cuDNN, got device cpu";
  const Compute cudnn{.backend = Backend::kCudnn};
  EXPECT_EQ(thrown<Error>([&] { require_supported(cudnn, torch::kCPU); }), message);
  EXPECT_EQ(thrown<Error>([&] { make_model({.hidden = 4}, 3, torch::kCPU, cudnn); }), message);
}

TEST(RequireSupported, AGraphNeedsCuda) {
  const auto message = "graph on needs a CUDA device, got device cpu";
  const Compute on{.graph = GraphMode::kOn};
  EXPECT_EQ(thrown<Error>([&] { require_supported(on, torch::kCPU); }), message);
  EXPECT_EQ(thrown<Error>([&] { make_model({.hidden = 4}, 3, torch::kCPU, on); }), message);
  EXPECT_NO_THROW(require_supported(on, torch::kCUDA));
  EXPECT_NO_THROW(require_supported({.graph = GraphMode::kAuto}, torch::kCPU));
}

TEST(RequireSupported, ACpuThatTheSystemSaysHasAmxIsFound) {
  std::ifstream file("/proc/cpuinfo");
  const std::string cpuinfo{std::istreambuf_iterator<char>(file), {}};
  bool listed = true;
  for (const char* flag : {" amx_tile", " amx_bf16", " avx512_bf16"}) {
    listed = listed && cpuinfo.find(flag) != std::string::npos;
  }
  EXPECT_EQ(is_supported(Precision::kBf16), listed);
}

class MakeModelOfEachKind : public ::testing::TestWithParam<TestModel> {};

TEST_P(MakeModelOfEachKind, APlainOneIsTheModelItself) {
  auto model = GetParam();
  model.compute = {.backend = Backend::kPlain};
  const auto net = make_model(model, 3, torch::kCPU);
  EXPECT_EQ(dynamic_cast<RNNModel*>(net.get()) != nullptr, model.model == ModelKind::kConcise);
  EXPECT_EQ(dynamic_cast<RNNModelScratch*>(net.get()) != nullptr,
            model.model == ModelKind::kScratch);
}

TEST_P(MakeModelOfEachKind, TheBackendDoesNotChangeTheWeights) {
  auto model = GetParam();
  at::manual_seed(0);
  const auto weights = make_model(model, 3, torch::kCPU)->weights();
  model.compute = {.backend = Backend::kPlain};
  at::manual_seed(0);
  const auto expected = make_model(model, 3, torch::kCPU)->weights();
  ASSERT_EQ(weights.size(), expected.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_EQ(weights[i].name, expected[i].name);
    EXPECT_TRUE(torch::equal(weights[i].tensor, expected[i].tensor)) << weights[i].name;
  }
}

TEST_P(MakeModelOfEachKind, EffectiveComputeIsWhatWasAskedFor) {
  const auto net = make_model(GetParam(), 3, torch::kCPU);
  const Compute expected{.backend = GetParam().compute.backend, .graph = GraphMode::kOff};
  for (const int64_t batch_size : {1, 32}) {
    EXPECT_EQ(net->effective_compute(batch_size), expected);
  }
}

TEST_P(MakeModelOfEachKind, ByDefaultWhatHasARecurrenceIsFusedOnACpu) {
  const ModelConfig& config = GetParam();
  const auto net = make_model(config, 3, torch::kCPU);
  EXPECT_EQ(net->effective_compute(2),
            (Compute{.backend = config.cell == Cell::kMlp ? Backend::kPlain : Backend::kFused,
                     .graph = GraphMode::kOff}));
}

TEST_P(MakeModelOfEachKind, InFloat64ItIsPlain) {
  const auto net = make_model(GetParam(), 3, torch::kCPU);
  for (const auto& weight : values(net->weights())) {
    weight.set_data(weight.to(torch::kFloat64));
  }
  EXPECT_EQ(net->effective_compute(2),
            (Compute{.backend = Backend::kPlain, .graph = GraphMode::kOff}));
}

TEST_P(MakeModelOfEachKind, EffectiveComputeNamesThePrecision) {
  for (const auto precision : {Precision::kBf16x3, Precision::kBf16}) {
    if (!GetParam().is_fused() || !is_supported(precision)) {
      continue;
    }
    const Compute asked{.backend = Backend::kFused, .precision = precision};
    const auto net = make_model(GetParam(), 3, torch::kCPU, asked);
    EXPECT_EQ(net->effective_compute(2).precision, precision);
    for (const auto& weight : values(net->weights())) {
      weight.set_data(weight.to(torch::kFloat64));
    }
    EXPECT_EQ(net->effective_compute(2).precision, Precision::kFp32);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MakeModelOfEachKind, ::testing::ValuesIn(all_models(4)),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace unroll
