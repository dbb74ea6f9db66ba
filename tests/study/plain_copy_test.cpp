#include "study/plain_copy.h"

#include <gtest/gtest.h>

#include "support/model_configs.h"
#include "support/random_values.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

TEST(PlainCopy, HasTheWeightsAndNoDropoutAndDrawsNothing) {
  const ModelConfig config{.cell = Cell::kLstm, .hidden = 4, .layers = 2, .dropout = 0.5};
  const auto net = make_model(config, 5, torch::kCPU);
  at::manual_seed(7);
  const auto expected = torch::rand({3});
  at::manual_seed(7);
  const auto copy = plain_copy(config, net->weights());
  EXPECT_TRUE(torch::rand({3}).equal(expected));
  EXPECT_FALSE(copy->is_training());
  EXPECT_EQ(copy->effective_compute(1).backend, Backend::kPlain);
  ASSERT_EQ(copy->weights().size(), net->weights().size());
  for (const auto& [name, weight] : copy->weights()) {
    const auto& original = tensor_named(net->weights(), name);
    EXPECT_TRUE(weight.equal(original)) << name;
    EXPECT_NE(weight.data_ptr(), original.data_ptr()) << name;
  }
}

TEST(PlainCopy, RefusesOtherWeights) {
  const auto net = make_model({.hidden = 4}, 5, torch::kCPU);
  thrown<Error>([&] { plain_copy({.hidden = 3}, net->weights()); });
  thrown<Error>([&] { plain_copy({.hidden = 4}, {}); });
}

}  // namespace
}  // namespace unroll
