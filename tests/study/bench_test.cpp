#include <gtest/gtest.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "report/bench_report.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/study.h"

namespace unroll {
namespace {

ModelSetup setup_of(const TestModel& model) { return {model, model.compute}; }

SeqDataLoader loader() {
  DataOptions options;
  options.batch_size = 4;
  options.num_steps = 5;
  return SeqDataLoader(torch::randint(9, {200}, torch::kInt64).to(torch::kUInt8), options);
}

TEST(Bench, MeasuresEveryModelWithEveryNumberOfThreads) {
  BenchOptions options;
  options.models = {setup_of(plain(ModelKind::kScratch, Cell::kRnn, 8)),
                    setup_of(fused(ModelKind::kScratch, Cell::kLstm, 8)),
                    setup_of(plain(ModelKind::kConcise, Cell::kGru, 8))};
  options.threads = {1, 2};
  options.repeat = 3;
  const auto rows = bench(loader(), 9, options);
  ASSERT_EQ(rows.size(), 6);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    EXPECT_EQ(rows[k].setup, options.models[k / 2]);
    EXPECT_EQ(rows[k].threads, k % 2 + 1);
    EXPECT_EQ(rows[k].effective.backend, rows[k].setup.compute.backend);
    EXPECT_FALSE(rows[k].is_captured);
  }
  for (const auto& row : rows) {
    EXPECT_EQ(row.tokens_per_second.size(), 3);
    EXPECT_GT(row.median(), 0);
    EXPECT_GT(row.peak, 0);
    EXPECT_GT(row.phases.forward, 0);
    EXPECT_GT(row.phases.backward, 0);
    EXPECT_GT(row.phases.update, 0);
    EXPECT_DOUBLE_EQ(row.flops, row.median() * training_flops_per_token(row.setup.config, 9));
  }
  const auto json = nlohmann::json::parse(to_json(rows)).at("rows");
  const std::vector<std::tuple<int, std::string, std::string>> names{
      {0, "scratch", "plain"}, {2, "fused", "fused"}, {4, "concise", "plain"}};
  for (const auto& [k, model, compute] : names) {
    EXPECT_EQ(json.at(k).at("model"), model);
    EXPECT_EQ(json.at(k).at("compute"), compute);
    EXPECT_EQ(json.at(k).at("precision"), "fp32");
  }
  EXPECT_DOUBLE_EQ(json.at(3).at("ratio").get<double>(), rows[3].median() / rows[0].median());
  EXPECT_NE(table(rows).find("fused"), std::string::npos);
}

TEST(Bench, ARowSaysWhoComputedIt) {
  BenchOptions options;
  options.models = {{.config = {.hidden = 8}, .compute = {}},
                    {.config = {.cell = Cell::kMlp, .hidden = 8}, .compute = {}}};
  options.repeat = 1;
  const auto rows = bench(loader(), 9, options);
  EXPECT_EQ(rows.at(0).effective.backend, Backend::kFused);
  EXPECT_EQ(rows.at(1).effective.backend, Backend::kPlain);
  for (const auto& row : rows) {
    EXPECT_EQ(row.setup.compute.backend, Backend::kAuto);
    EXPECT_EQ(row.effective.graph, GraphMode::kOff);
  }
}

TEST(Bench, MeasuresLayersAloneOnFeatures) {
  BenchOptions options;
  for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
    for (const auto backend : {Backend::kPlain, Backend::kFused}) {
      options.models.push_back(
          {.config = {.model = ModelKind::kConcise, .cell = cell, .hidden = 8, .layers = 2},
           .compute = {.backend = backend}});
    }
  }
  options.models.erase(options.models.begin());
  options.inputs = 3;
  options.repeat = 2;
  const auto rows = bench(loader(), 9, options);
  ASSERT_EQ(rows.size(), 8);
  for (const auto& row : rows) {
    const auto& config = row.setup.config;
    EXPECT_EQ(row.effective.backend, row.setup.compute.backend);
    EXPECT_EQ(row.tokens_per_second.size(), 2);
    EXPECT_EQ(row.inputs, 3);
    EXPECT_GT(row.phases.backward, 0);
    const int64_t gates = config.cell == Cell::kLstm ? 4 : config.cell == Cell::kGru ? 3 : 1;
    // W_h of two layers and W_x of the second thrice, W_x of the first twice, two for each weight
    EXPECT_DOUBLE_EQ(row.flops,
                     row.median() * 2.0 * static_cast<double>(gates) * 8 * (3 * 8 * 3 + 2 * 3));
  }
}

TEST(Bench, LayersAloneSayOnHowManyInputs) {
  BenchRow row{.inputs = 40};
  row.tokens_per_second = {1};
  EXPECT_NE(table({row}).find(" inputs "), std::string::npos);
  EXPECT_NE(table({row}).find(" 40 "), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(to_json({row})).at("rows").at(0).at("inputs"), 40);
  row.inputs = 0;
  EXPECT_EQ(table({row}).find("inputs"), std::string::npos);
  EXPECT_FALSE(nlohmann::json::parse(to_json({row})).at("rows").at(0).contains("inputs"));
}

TEST(Bench, LayersAloneAreTorchsOrTheirEquals) {
  BenchOptions options;
  options.inputs = 3;
  EXPECT_EQ(thrown<UsageError>([&] { check(options); }),
            "layers on inputs are concise or fused, got model scratch");
  options.models = {{.config = {.model = ModelKind::kScratch, .cell = Cell::kMlp}, .compute = {}}};
  EXPECT_EQ(thrown<UsageError>([&] { check(options); }),
            "layers on inputs are of rnn, rnn-relu, gru and lstm, got cell mlp");
  options.models = {
      {.config = {.model = ModelKind::kConcise}, .compute = {.graph = GraphMode::kOn}}};
  EXPECT_EQ(thrown<UsageError>([&] { check(options); }),
            "layers on inputs are never captured, got graph on");
}

TEST(Bench, TheNumberOfThreadsIsRestoredWhenItIsInterrupted) {
  BenchOptions options;
  options.models = {setup_of(fused(ModelKind::kScratch, Cell::kRnn, 8))};
  const int before = torch::get_num_threads();
  options.threads = {before + 1};
  TrainCallbacks callbacks;
  callbacks.on_batch = [](const TrainProgress&, int64_t) { throw Error("enough"); };
  EXPECT_THROW(bench(loader(), 9, options, callbacks), Error);
  EXPECT_EQ(torch::get_num_threads(), before);
}

TEST(Bench, MedianIsTheMiddle) {
  BenchRow row;
  row.tokens_per_second = {5, 1, 3};
  EXPECT_EQ(row.median(), 3);
  row.tokens_per_second = {5, 1, 3, 4};
  EXPECT_EQ(row.median(), 3.5);
}

TEST(Bench, RefusesWhatIsOutOfRange) {
  BenchOptions options;
  options.repeat = 0;
  EXPECT_THROW(check(options), UsageError);
  options.repeat = 1;
  options.threads = {0};
  EXPECT_THROW(check(options), UsageError);
  options.threads = {1};
  check(options);
  options.models.push_back({.config = {.hidden = 0}, .compute = {}});
  EXPECT_THROW(check(options), UsageError);
}

}  // namespace
}  // namespace unroll
