#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include "cli/message.h"
#include "cli/options.h"
#include "cli/ranks.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

using ::testing::HasSubstr;

// Environment variables, put back afterwards.
class PlaceInEnvironment : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
          "GLOO_SOCKET_IFNAME", "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT"}) {
      const char* value = std::getenv(name);
      before_[name] = value == nullptr ? std::optional<std::string>() : value;
      unsetenv(name);
    }
  }
  void TearDown() override {
    set_message_prefix("unroll");
    for (const auto& [name, value] : before_) {
      value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
    }
  }

  static Place place() {
    Options options("train", "");
    add_rank_options(options);
    options.parse({});
    return read_place(options);
  }

  static void set(const std::map<std::string, std::string>& variables) {
    for (const auto& [name, value] : variables) {
      setenv(name.c_str(), value.c_str(), 1);
    }
  }

  std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(PlaceInEnvironment, AreNoneWithoutAWorld) {
  set({{"RANK", "3"}});
  EXPECT_EQ(place().ranks.world, 1);
}

TEST_F(PlaceInEnvironment, AreWhatTorchrunSays) {
  set({{"RANK", "3"},
       {"WORLD_SIZE", "4"},
       {"LOCAL_RANK", "1"},
       {"LOCAL_WORLD_SIZE", "2"},
       {"MASTER_ADDR", "node-0"},
       {"MASTER_PORT", "29501"},
       {"GLOO_SOCKET_IFNAME", "eth1"},
       {"TORCHELASTIC_USE_AGENT_STORE", "True"},
       {"TORCHELASTIC_RESTART_COUNT", "2"}});
  const auto [ranks, local_rank] = place();
  EXPECT_EQ(ranks.rank, 3);
  EXPECT_EQ(ranks.world, 4);
  EXPECT_EQ(local_rank, 1);
  EXPECT_EQ(ranks.local_world, 2);
  EXPECT_EQ(ranks.address, "node-0");
  EXPECT_EQ(ranks.port, 29501);
  EXPECT_EQ(ranks.interface, "eth1");
  EXPECT_TRUE(ranks.launcher_listens);
  EXPECT_EQ(ranks.session, "2");
}

TEST_F(PlaceInEnvironment, NeedOneAnother) {
  set({{"WORLD_SIZE", "2"}});
  EXPECT_THAT(thrown<UsageError>([] { place(); }), HasSubstr("RANK must be set"));
  set({{"RANK", "2"}});
  EXPECT_THAT(thrown<UsageError>([] { place(); }), HasSubstr("RANK must be <= 1, got 2"));
  set({{"RANK", "one"}});
  EXPECT_THAT(thrown<UsageError>([] { place(); }), HasSubstr("RANK must be an integer, got 'one'"));
  set({{"RANK", "1"}, {"MASTER_PORT", "29501"}});
  EXPECT_THAT(thrown<UsageError>([] { place(); }), HasSubstr("MASTER_ADDR must be set"));
  set({{"MASTER_ADDR", "node-0"}, {"LOCAL_WORLD_SIZE", "2"}});
  EXPECT_THAT(thrown<UsageError>([] { place(); }),
              HasSubstr("LOCAL_RANK must be set where LOCAL_WORLD_SIZE is"));
  set({{"LOCAL_RANK", "2"}});
  EXPECT_THAT(thrown<UsageError>([] { place(); }), HasSubstr("LOCAL_RANK must be <= 1, got 2"));
}

}  // namespace
}  // namespace unroll::app
