#include "report/generated_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace unroll {
namespace {

TEST(GeneratedText, AWrittenTextIsAJsonObject) {
  EXPECT_EQ(nlohmann::json::parse(to_json(GeneratedReport{
                .prompt = "a", .text = "a\n\xc3", .tokens = 4, .nats = 2, .seed = 7, .sample = 1})),
            nlohmann::json({{"prompt", "a"},
                            {"text", "a\n\xef\xbf\xbd"},
                            {"tokens", 4},
                            {"seed", 7},
                            {"sample", 1},
                            {"nats_per_token", 0.5}}));
}

}  // namespace
}  // namespace unroll
