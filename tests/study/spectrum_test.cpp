#include "study/spectrum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <string>
#include <vector>

#include "support/model_configs.h"
#include "support/random_values.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kTokens = 5;  // V

// The spectra of a scratch RNN with this W_hh.
std::vector<Spectrum> spectra_of_matrix(const torch::Tensor& W_hh) {
  const ModelConfig config{.hidden = W_hh.size(0)};
  const auto net = make_model(config, kTokens, torch::kCPU);
  const torch::NoGradGuard no_grad;
  tensor_named(net->weights(), "W_hh").copy_(W_hh);
  return spectra_of(config, net->weights());
}

template <typename Value>
void expect_near(const std::vector<Value>& actual, const std::vector<Value>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_LT(std::abs(actual[i] - expected[i]), 1e-6) << "value " << i << ": " << actual[i];
  }
}

TEST(Spectrum, OfARotationIsAConjugatePair) {
  const double c = 0.9 * std::cos(1.0);
  const double s = 0.9 * std::sin(1.0);
  const auto spectra =
      spectra_of_matrix(torch::tensor({{c, s, 0.0}, {-s, c, 0.0}, {0.0, 0.0, -2.0}}));
  ASSERT_EQ(spectra.size(), 1U);
  EXPECT_EQ(spectra[0].layer, 0);
  EXPECT_EQ(spectra[0].name, "W_hh");
  expect_near(spectra[0].singular_values, {2, 0.9, 0.9});
  expect_near(spectra[0].eigenvalues, {{-2, 0}, {c, s}, {c, -s}});
}

TEST(Spectrum, StretchesWhatItsEigenvaluesDoNot) {
  const auto spectra = spectra_of_matrix(torch::tensor({{0.0, 0.25}, {4.0, 0.0}}));
  expect_near(spectra[0].singular_values, {4, 0.25});
  expect_near(spectra[0].eigenvalues, {{1, 0}, {-1, 0}});
}

// Fills every recurrent matrix with a multiple of the identity: 1, 2, ... in torch::nn's order.
std::vector<Spectrum> spectra_of_multiples(const ModelConfig& config) {
  const auto net = make_model(config, kTokens, torch::kCPU);
  const torch::NoGradGuard no_grad;
  double multiple = 0;
  for (const auto& [name, weight] : net->weights()) {
    if (name.starts_with("rnn.weight_hh")) {
      for (const auto& gate : weight.split(config.hidden)) {
        gate.copy_(++multiple * torch::eye(config.hidden));
      }
    }
  }
  return spectra_of(config, net->weights());
}

void expect_multiples(const std::vector<Spectrum>& spectra, const std::vector<std::string>& names,
                      const std::vector<double>& multiples) {
  ASSERT_EQ(spectra.size(), multiples.size());
  for (std::size_t i = 0; i < spectra.size(); ++i) {
    EXPECT_EQ(spectra[i].layer, static_cast<int64_t>(i / names.size()));
    EXPECT_EQ(spectra[i].name, names[i % names.size()]);
    expect_near(spectra[i].singular_values, std::vector<double>(3, multiples[i]));
    expect_near(spectra[i].eigenvalues, std::vector<std::complex<double>>(3, multiples[i]));
  }
}

TEST(Spectrum, KeepsGatesAndLayersApart) {
  expect_multiples(spectra_of_multiples({.cell = Cell::kLstm, .hidden = 3, .layers = 2}),
                   {"W_hi", "W_hf", "W_ho", "W_hc"}, {1, 2, 4, 3, 5, 6, 8, 7});
  expect_multiples(
      spectra_of_multiples({.model = ModelKind::kConcise, .cell = Cell::kGru, .hidden = 3}),
      {"W_hz", "W_hr", "W_hh"}, {2, 1, 3});
}

TEST(Spectrum, IsTheSameInBothLayouts) {
  for (const auto& model : plain_recurrent_models(6)) {
    if (model.model != ModelKind::kConcise) {
      continue;
    }
    SCOPED_TRACE(name_of(model));
    const auto net = make_model(model, kTokens, torch::kCPU);
    auto scratch = model;
    scratch.model = ModelKind::kScratch;
    scratch.gru_reset = resolved(model).gru_reset;
    const auto expected = spectra_of(model, net->weights());
    const auto actual = spectra_of(scratch, scratch_weights(model, net->weights()));
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      EXPECT_EQ(actual[i].name, expected[i].name);
      expect_near(actual[i].singular_values, expected[i].singular_values);
      expect_near(actual[i].eigenvalues, expected[i].eigenvalues);
    }
  }
}

TEST(Spectrum, OfTheMlpIsEmpty) {
  const ModelConfig config{.cell = Cell::kMlp, .hidden = 3};
  EXPECT_THAT(spectra_of(config, make_model(config, kTokens, torch::kCPU)->weights()), IsEmpty());
}

TEST(Spectrum, RefusesWhatHasNone) {
  EXPECT_THAT(thrown<Error>([] {
                spectra_of_matrix(torch::full({2, 2}, std::numeric_limits<float>::infinity()));
              }),
              HasSubstr("W_hh of layer 0 is not finite"));
  const auto weights = make_model({.hidden = 3}, kTokens, torch::kCPU)->weights();
  thrown<Error>([&] { spectra_of({.hidden = 4}, weights); });
  thrown<Error>([&] { spectra_of({.cell = Cell::kLstm, .hidden = 3}, {}); });
}

}  // namespace
}  // namespace unroll
