// Files of other programs, as docs/exchange.md describes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

// A file as Python would write it: no more than is needed, the tensors in another order.
SafeTensors minimal_file() {
  return {.tensors = {{"model.b_q", torch::zeros({3})},
                      {"model.b_h", torch::zeros({2})},
                      {"model.W_hq", torch::zeros({2, 3})},
                      {"model.W_hh", torch::zeros({2, 2}, torch::kFloat64)},
                      {"model.W_xh", torch::ones({3, 2})}},
          .metadata = {
              {"format", "unroll"},
              {"version", "1"},
              {"config", R"({"model":"scratch","cell":"rnn","hidden":2,"layers":1,"tokens":"char",)"
                         R"("normalize":"letters","vocab":["<unk>","a","b"]})"}}};
}

// What is said of the minimal file after a change of its config.
std::string refused_config(const std::string& from, const std::string& to) {
  const TempFolder folder;
  auto content = minimal_file();
  auto& config = content.metadata.at("config");
  const auto at = config.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  config.replace(at, from.size(), to);
  save_safetensors(folder / "other", content);
  const auto message = thrown<Error>([&] { load_checkpoint(folder / "other"); });
  const std::string begin = (folder / "other").string() + ": is not an unroll checkpoint: ";
  EXPECT_TRUE(message.starts_with(begin)) << message;
  return message.substr(std::min(message.size(), begin.size()));
}

TEST(CheckpointFromPython, NeedsNoMoreThanItsModelAndItsTokens) {
  const TempFolder folder;
  save_safetensors(folder / "minimal", minimal_file());
  const auto loaded = load_checkpoint(folder / "minimal");
  EXPECT_EQ(loaded.weights.front().name, "W_xh");
  EXPECT_EQ(loaded.epochs, 0);
  const auto net = make_model(loaded, torch::kCPU);
  EXPECT_TRUE(torch::equal(net->weights().front().tensor, torch::ones({3, 2})));
  save_checkpoint(folder / "again", loaded);  // what was read can be written
}

TEST(CheckpointFromPython, AKeyThatIsMissingIsNamedWithWhatItHolds) {
  EXPECT_EQ(refused_config(R"("model":"scratch",)", ""),
            "'model' is missing, expected one of scratch, concise");
  EXPECT_EQ(refused_config(R"("hidden":2,)", ""),
            "'hidden' is missing, expected an integer: hidden units of a layer");
  EXPECT_EQ(refused_config(R"("normalize":"letters",)", ""),
            "'normalize' is missing, expected one of letters, none");
  EXPECT_EQ(refused_config(R"(,"vocab":["<unk>","a","b"])", ""),
            "'vocab' is missing, expected the list of all tokens, <unk> first");
}

TEST(CheckpointFromPython, KeysAndValuesThatAreNotKnownAreRefused) {
  EXPECT_EQ(refused_config(R"("hidden":2)", R"("hidden":2,"nonlinearity":"relu")"),
            "its config has the unknown key 'nonlinearity'");
  EXPECT_EQ(refused_config(R"("cell":"rnn")", R"("cell":"relu")"),
            "cell must be rnn, rnn-relu, gru, lstm or mlp, got 'relu'");
  EXPECT_EQ(refused_config(R"("cell":"rnn")", R"("cell":1)"),
            "cell must be one of rnn, rnn-relu, gru, lstm, mlp, got 1");
  EXPECT_EQ(refused_config(R"("hidden":2)", R"("hidden":2,"dropout":"0.5")"),
            "dropout must be a number, got \"0.5\"");
  EXPECT_EQ(refused_config(R"("vocab":["<unk>","a","b"])", R"("vocab":"ab")"),
            "'vocab' is no list, expected the list of all tokens, <unk> first");
}

TEST(CheckpointFromPython, TensorsThatAreNotKnownAreRefused) {
  const TempFolder folder;
  const auto refused = [&](const NamedTensor& further) {
    auto content = minimal_file();
    content.tensors.push_back(further);
    save_safetensors(folder / "more", content);
    return thrown<Error>([&] { load_checkpoint(folder / "more"); });
  };
  EXPECT_THAT(refused({"model.b_r", torch::zeros({2})}),
              HasSubstr("weight 'b_r' is not the model's"));
  EXPECT_THAT(refused({"extra", torch::zeros({2})}), HasSubstr("its tensor 'extra' is not known"));
  EXPECT_THAT(refused({"history", torch::zeros({2})}), HasSubstr("its tensor 'history'"));
}

}  // namespace
}  // namespace unroll
