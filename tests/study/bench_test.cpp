#include <gtest/gtest.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "study/report.h"
#include "support/model_configs.h"
#include "unroll/error.h"
#include "unroll/study.h"

namespace unroll {
namespace {

SeqDataLoader loader() {
  DataOptions options;
  options.batch_size = 4;
  options.num_steps = 5;
  return SeqDataLoader(torch::randint(9, {200}, torch::kInt64).to(torch::kUInt8), options);
}

TEST(Bench, MeasuresEveryModelWithEveryNumberOfThreads) {
  BenchOptions options;
  options.models = {config_of(ModelKind::kScratch, Cell::kRnn, 8),
                    config_of(ModelKind::kFused, Cell::kLstm, 8)};
  options.threads = {1, 2};
  options.repeat = 3;
  const auto rows = bench(loader(), 9, options);
  ASSERT_EQ(rows.size(), 4);
  EXPECT_EQ(rows[1].config.cell, Cell::kRnn);
  EXPECT_EQ(rows[1].threads, 2);
  EXPECT_EQ(rows[2].config.cell, Cell::kLstm);
  for (const auto& row : rows) {
    EXPECT_EQ(row.tokens_per_second.size(), 3);
    EXPECT_GT(row.median(), 0);
    EXPECT_GT(row.peak, 0);
    EXPECT_GT(row.phases.forward, 0);
    EXPECT_GT(row.phases.backward, 0);
    EXPECT_GT(row.phases.update, 0);
    EXPECT_DOUBLE_EQ(row.flops, row.median() * training_flops_per_token(row.config, 9));
  }
  const auto json = nlohmann::json::parse(to_json(rows)).at("rows");
  EXPECT_EQ(json.at(2).at("model"), "fused");
  EXPECT_DOUBLE_EQ(json.at(3).at("ratio").get<double>(), rows[3].median() / rows[0].median());
  EXPECT_NE(table(rows).find("fused"), std::string::npos);
}

TEST(Bench, TheNumberOfThreadsIsRestoredWhenItIsInterrupted) {
  BenchOptions options;
  options.models = {config_of(ModelKind::kFused, Cell::kRnn, 8)};
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
}

}  // namespace
}  // namespace unroll
