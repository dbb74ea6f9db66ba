// Who computes a training step on a GPU: our kernels or cuDNN.
#include "fused/engine_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "layers/cudnn.h"
#include "support/model_configs.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// Microseconds a step by cuDNN and by our kernels in float32, as docs/gpu.md has them.
struct Measured {
  CellKind cell;
  int64_t hidden;
  int64_t batch_size;
  double cudnn;
  double kernels;
};
constexpr auto kRnn = CellKind::kRnn;
constexpr auto kLstm = CellKind::kLstm;
constexpr auto kGru = CellKind::kGruAfter;
constexpr Measured kMeasured[] = {
    {kRnn, 128, 1, 177, 143},         {kRnn, 128, 32, 196, 175},
    {kRnn, 128, 128, 212, 265},       {kRnn, 128, 512, 403, 672},
    {kRnn, 256, 32, 338, 230},        {kRnn, 256, 512, 1195, 1118},
    {kRnn, 512, 1, 469, 192},         {kRnn, 512, 32, 896, 334},
    {kRnn, 512, 128, 1463, 678},      {kRnn, 512, 512, 2003, 2047},
    {kRnn, 1024, 1, 531, 394},        {kRnn, 1024, 32, 1269, 675},
    {kRnn, 1024, 128, 2743, 2038},    {kRnn, 1024, 512, 4493, 7477},
    {kRnn, 2048, 32, 2428, 2212},     {kRnn, 2048, 128, 4775, 8107},
    {kRnn, 2048, 512, 12400, 31529},  {kLstm, 128, 32, 358, 310},
    {kLstm, 128, 512, 1203, 1374},    {kLstm, 256, 32, 985, 428},
    {kLstm, 256, 512, 2322, 2731},    {kLstm, 512, 1, 621, 474},
    {kLstm, 512, 32, 1637, 705},      {kLstm, 512, 128, 2070, 2101},
    {kLstm, 512, 512, 4932, 7531},    {kLstm, 1024, 1, 741, 655},
    {kLstm, 1024, 32, 2575, 3510},    {kLstm, 1024, 128, 4701, 13182},
    {kLstm, 1024, 512, 12369, 51539}, {kGru, 128, 32, 253, 339},
    {kGru, 128, 512, 1286, 1456},     {kGru, 256, 32, 917, 463},
    {kGru, 256, 512, 2596, 4397},     {kGru, 512, 32, 1272, 797},
    {kGru, 512, 128, 1836, 2414},     {kGru, 512, 512, 4233, 8745},
    {kGru, 1024, 32, 2556, 3636},     {kGru, 1024, 512, 10825, 53391}};

TEST(EngineChoice, IsByWhatWasMeasured) {
  for (const auto& [cell, hidden, batch_size, cudnn, kernels] : kMeasured) {
    if (kernels_are_faster(cell, batch_size, hidden)) {
      EXPECT_LE(1.05 * kernels, cudnn);
      EXPECT_FALSE(cudnn_is_faster(cell, batch_size, hidden));
    }
    const double chosen = cudnn_is_faster(cell, batch_size, hidden) ? cudnn : kernels;
    EXPECT_LE(chosen, 1.05 * std::min(cudnn, kernels))
        << static_cast<int>(cell) << ", " << hidden << " units, batch " << batch_size;
  }
}

// The model's own formulas, which draw a number too, on a clock on which a step takes some time.
class SlowEngine : public Engine {
 public:
  SlowEngine(SequenceModel& model, double& clock, double seconds)
      : model_(model), clock_(clock), seconds_(seconds) {}

  Backend backend() const override { return Backend::kPlain; }
  std::optional<Precision> precision(int64_t, at::TensorList) const override {
    return Precision::kFp32;
  }
  std::pair<torch::Tensor, State> run(const std::vector<torch::Tensor>&, const Batch& batch,
                                      const State& state,
                                      const GradientCallback& /*on_gradient*/) override {
    if (seconds_ < 0) {
      ++runs;
      TORCH_CHECK(runs % 2 == 0, "cuDNN refuses this");
      throw Error("cannot be captured");
    }
    EXPECT_TRUE(model_.is_training());
    EXPECT_EQ(batch.X.size(0), 3);
    torch::rand({1});
    clock_ += seconds_;
    ++runs;
    return model_.loss(batch, state);
  }
  std::unique_ptr<Decoder> make_decoder(int64_t) override { return nullptr; }

  int runs = 0;

 private:
  SequenceModel& model_;
  double& clock_;
  double seconds_;
};

// Does its work over again, and knows what it was asked for.
class RepeatedWork : public CudaGraph {
 public:
  explicit RepeatedWork(int& captures) : captures_(captures) {}
  void warm_up(const std::function<void()>& work) override { work(); }
  void capture(const std::function<void()>& work) override {
    ++captures_;
    work_ = work;
  }
  void replay() override { work_(); }

 private:
  int& captures_;
  std::function<void()> work_;
};

class StepTimes : public ::testing::Test {
 protected:
  std::vector<double> seconds(StepTiming timing) {
    timing.now = [this] { return clock_; };
    const std::vector<Engine*> all{&fast_, &slow_, &broken_};
    return step_seconds(all, *net_, 3, timing);
  }

  std::unique_ptr<SequenceModel> net_ =
      make_model(plain(ModelKind::kConcise, Cell::kRnn, 4), 9, torch::kCPU);
  double clock_ = 0;
  SlowEngine fast_{*net_, clock_, 1};
  SlowEngine slow_{*net_, clock_, 20};
  SlowEngine broken_{*net_, clock_, -1};
};

TEST_F(StepTimes, AreThoseOfEachEngine) {
  int waits = 0;
  int captures = 0;
  for (const bool is_captured : {false, true}) {
    StepTiming timing{.make_graph = {}, .wait = [&] { ++waits; }};
    if (is_captured) {
      timing.make_graph = [&] { return std::make_unique<RepeatedWork>(captures); };
    }
    EXPECT_THAT(seconds(timing),
                ::testing::ElementsAre(1, 20, std::numeric_limits<double>::infinity()));
  }
  EXPECT_EQ(captures, 2);
  EXPECT_GE(waits, 2 * 2 * 5);
  EXPECT_EQ(fast_.runs, slow_.runs);
}

TEST_F(StepTimes, TakingThemChangesNothing) {
  net_->train(false);
  const torch::NoGradGuard no_grad;  // of the caller
  at::manual_seed(5);
  const auto expected = torch::rand({3});
  std::vector<torch::Tensor> before;
  for (const auto& [name, weight] : net_->weights()) {
    weight.mutable_grad() = torch::full_like(weight, 7);
    before.push_back(weight.clone());
  }
  at::manual_seed(5);
  seconds({});
  EXPECT_TRUE(torch::equal(torch::rand({3}), expected));
  EXPECT_FALSE(net_->is_training());
  const auto weights = values(net_->weights());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(torch::equal(weights[i], before[i]));
    EXPECT_TRUE(torch::equal(weights[i].grad(), torch::full_like(weights[i], 7)));
  }
}

}  // namespace
}  // namespace unroll
