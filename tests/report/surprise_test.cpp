#include "report/surprise.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace unroll {
namespace {

TEST(Surprise, ASurpriseIsAJsonObjectWhateverTheToken) {
  EXPECT_EQ(nlohmann::json::parse(surprise_line(3, "\"\n", 5, 0.5F, TokenKind::kWord)),
            nlohmann::json({{"position", 3}, {"token", "\"\n"}, {"index", 5}, {"nats", 0.5}}));
  EXPECT_EQ(nlohmann::json::parse(surprise_line(1, "\xc3", 5, 0.5F, TokenKind::kByte)),
            nlohmann::json({{"position", 1}, {"token", 0xc3}, {"index", 5}, {"nats", 0.5}}));
  EXPECT_EQ(nlohmann::json::parse(surprise_line(1, "<unk>", 0, 0.5F, TokenKind::kByte))["token"],
            "<unk>");
}

}  // namespace
}  // namespace unroll
