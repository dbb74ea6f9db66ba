// Sums between devices: by an NCCL that adds up what threads of this process have on the CPU.
#include "cuda_part/device_sum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "support/rank_threads.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

constexpr int kSystemError = 2;

// What stands for NCCL's network.
class ThreadNccl {
 public:
  static ThreadNccl& instance() {
    static ThreadNccl one;
    return one;
  }

  static const Nccl& functions() {
    static const Nccl all{
        .get_error_string = [](int error) { return error == kSystemError ? "no way" : "closed"; },
        .get_last_error = [](Nccl::Communicator) { return "as it is\nso"; },
        .get_unique_id = [](Nccl::UniqueId* id) { return instance().name(*id); },
        .comm_init_rank = [](Nccl::Communicator* communicator, int world, Nccl::UniqueId id,
                             int rank) { return instance().join(*communicator, world, id, rank); },
        .comm_get_async_error =
            [](Nccl::Communicator, int* error) {
              *error = instance().async_error;
              return Nccl::kSuccess;
            },
        .comm_abort =
            [](Nccl::Communicator communicator) {
              delete static_cast<Member*>(communicator);
              return instance().end();
            },
        .all_reduce = [](const void* from, void* to, std::size_t count, int type, int, void* by,
                         void*) { return static_cast<Member*>(by)->add(from, to, count, type); },
    };
    return all;
  }

  // Until it is let go, no rank's start ends.
  void hold() {
    const std::lock_guard lock(mutex_);
    is_held_ = true;
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    is_held_ = false;
    changed_.notify_all();
  }
  void wait_for_ends(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ == count; });
  }
  int ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }
  void reset() {
    const std::lock_guard lock(mutex_);
    ended_ = 0;
    broken_rank = -1;
    async_error = Nccl::kSuccess;
  }

  std::atomic<int> broken_rank = -1;  // on which it does not start
  std::atomic<int> async_error = Nccl::kSuccess;

 private:
  struct Meeting {
    std::mutex mutex;
    std::condition_variable all_are_there;
    torch::Tensor sum;
    int there = 0;
    int64_t met = 0;  // how often all were
  };
  struct Member {
    std::shared_ptr<Meeting> meeting;
    int world;

    int add(const void* from, void* to, std::size_t count, int type) const {
      const auto scalar = type == Nccl::kFloat64 ? torch::kFloat64 : torch::kFloat32;
      const auto size = static_cast<int64_t>(count);
      const auto own = torch::from_blob(const_cast<void*>(from), {size}, scalar);
      std::unique_lock lock(meeting->mutex);
      meeting->sum = meeting->there == 0 ? own.clone() : meeting->sum + own;
      meet(lock);
      torch::from_blob(to, {size}, scalar).copy_(meeting->sum);
      meet(lock);  // nobody begins the next sum before all have this one
      return Nccl::kSuccess;
    }

    void meet(std::unique_lock<std::mutex>& lock) const {
      const auto before = meeting->met;
      if (++meeting->there == world) {
        meeting->there = 0;
        ++meeting->met;
        meeting->all_are_there.notify_all();
      } else {
        meeting->all_are_there.wait(lock, [&] { return meeting->met > before; });
      }
    }
  };

  int name(Nccl::UniqueId& id) {
    const std::lock_guard lock(mutex_);
    id.fill('\0');  // as NCCL's have, too
    id.back() = static_cast<char>(++names_);
    return Nccl::kSuccess;
  }

  // Makes one also where it fails, as NCCL does.
  int join(Nccl::Communicator& communicator, int world, const Nccl::UniqueId& id, int rank) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !is_held_; });
    auto& meeting = meetings_[id];
    if (!meeting) {
      meeting = std::make_shared<Meeting>();
    }
    communicator = new Member{meeting, world};
    return broken_rank < 0 ? Nccl::kSuccess
                           : (rank == broken_rank ? kSystemError : Nccl::kRemoteError);
  }

  int end() {
    const std::lock_guard lock(mutex_);
    ++ended_;
    changed_.notify_all();
    return Nccl::kSuccess;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_held_ = false;
  int ended_ = 0;
  int names_ = 0;
  std::map<Nccl::UniqueId, std::shared_ptr<Meeting>> meetings_;
};

// That of a device that does so much of its work at once, and the rest never.
class DriverOfCpu : public CudaDriver {
 public:
  cuda::GpuLimits limits(torch::Device) const override { return {}; }
  LoadedKernel load(const CompiledKernel&, torch::Device) const override { return nullptr; }
  int most_clusters(LoadedKernel, const KernelLaunch&, torch::Device) const override { return 0; }
  void launch(LoadedKernel, const KernelLaunch&, std::span<const void* const>,
              torch::Device) const override {}
  void* stream(torch::Device) const override { return nullptr; }
  std::function<bool()> mark(torch::Device) const override {
    return [this, before = marks++] { return before < done; };
  }
  std::unique_ptr<SideStream> make_side_stream(torch::Device) const override { return nullptr; }

  mutable std::atomic<int64_t> marks = 0;
  std::atomic<int64_t> done = std::numeric_limits<int64_t>::max();
};

class DeviceSums : public ::testing::Test {
 protected:
  void SetUp() override {
    nccl.reset();
    driver.marks = 0;
    driver.done = std::numeric_limits<int64_t>::max();
  }

  static SumParts parts() {
    return {.driver = []() -> const CudaDriver& { return driver; },
            .example = [] { return torch::zeros(6); },
            .nccl = &ThreadNccl::functions};
  }
  static JoinedDevices join(Ranks& ranks) { return join_devices(ranks, torch::kCPU, parts()); }

  ThreadNccl& nccl = ThreadNccl::instance();
  static DriverOfCpu driver;  // which a start that nobody waits for any more may still see
};
DriverOfCpu DeviceSums::driver;

TEST_F(DeviceSums, AreThoseOfAllRanks) {
  run_ranks(2, [&](const auto& ranks) {
    const double factor = ranks->rank() == 0 ? 1 : 10;
    const auto joined = join(*ranks);
    ASSERT_TRUE(joined.sum) << joined.problem;
    EXPECT_EQ(joined.problem, "");
    for (const auto type : {torch::kFloat32, torch::kFloat64}) {
      const auto values = factor * torch::arange(6, type).view({2, 3});
      joined.sum->all_reduce(values);
      joined.sum->wait();
      EXPECT_TRUE(values.equal(11 * torch::arange(6, type).view({2, 3})));
    }
    EXPECT_THAT(thrown<Error>([&] { joined.sum->all_reduce(torch::ones({2}, torch::kInt64)); }),
                HasSubstr("Long"));
  });
  EXPECT_EQ(nccl.ended(), 2);
}

TEST_F(DeviceSums, AreNoneWhereARankHasNoDevice) {
  run_ranks(2, [&](const auto& ranks) {
    auto own = parts();
    own.driver = [&]() -> const CudaDriver& {
      if (ranks->rank() == 1) {
        throw Error("it is out for lunch");
      }
      return driver;
    };
    const auto joined = join_devices(*ranks, torch::kCPU, own);
    EXPECT_FALSE(joined.sum);
    EXPECT_EQ(joined.problem,
              ranks->rank() == 1 ? "it is out for lunch" : "another rank does not use NCCL");
  });
}

TEST_F(DeviceSums, AreNoneWhereGlooIsAskedFor) {
  const auto port = free_port();
  run_together(2, [&](int64_t rank) {
    const auto ranks = join_ranks({.rank = rank,
                                   .world = 2,
                                   .port = port,
                                   .backend = rank == 0 ? RankBackend::kGloo : RankBackend::kAuto});
    const auto joined = join(*ranks);
    EXPECT_FALSE(joined.sum);
    EXPECT_EQ(joined.problem, rank == 0 ? "Gloo was asked for" : "another rank does not use NCCL");
  });
}

TEST_F(DeviceSums, AreNoneWhereNcclDoesNotStart) {
  nccl.broken_rank = 1;
  run_ranks(2, [&](const auto& ranks) {
    const auto joined = join(*ranks);
    EXPECT_FALSE(joined.sum);
    EXPECT_EQ(joined.problem, ranks->rank() == 1 ? "NCCL: no way: as it is"
                                                 : "another rank is gone: closed: as it is");
  });
  EXPECT_EQ(nccl.ended(), 2);
}

// Those of others, which wait for so long.
class TimedRanks : public Ranks {
 public:
  TimedRanks(std::shared_ptr<Ranks> ranks, double timeout)
      : ranks_(std::move(ranks)), timeout_(timeout) {}
  int64_t rank() const override { return ranks_->rank(); }
  int64_t world() const override { return ranks_->world(); }
  double timeout() const override { return timeout_; }
  Wait start_all_reduce(const torch::Tensor& values) override {
    return ranks_->start_all_reduce(values);
  }
  std::string broadcast(const std::string& text) override { return ranks_->broadcast(text); }

 private:
  std::shared_ptr<Ranks> ranks_;
  double timeout_;
};

// A device may wait: no rank can use it for anything else.
TEST_F(DeviceSums, AMeetingEndsWellBeforeTheTimeLimit) {
  nccl.hold();
  run_ranks(2, [&](const auto& ranks) {
    TimedRanks timed(ranks, 0.3);
    EXPECT_THAT(thrown<RankLost>([&] { join(timed); }),
                HasSubstr("NCCL has not joined the ranks' devices within 0.1 s"));
  });
  nccl.let_go();
  nccl.wait_for_ends(2);  // what they still make is not left
}

TEST_F(DeviceSums, AWaitEndsWhenAnotherRankIsGone) {
  Ranks alone;
  auto joined = join(alone);
  ASSERT_TRUE(joined.sum) << joined.problem;
  driver.done = 0;
  nccl.async_error = Nccl::kRemoteError;
  EXPECT_EQ(thrown<RankLost>([&] { joined.sum->wait(); }),
            "another rank is gone: closed: as it is");
  EXPECT_EQ(nccl.ended(), 0);  // which would wait for a graph that has captured the sum
  joined.sum.reset();
  EXPECT_EQ(nccl.ended(), 1);
}

TEST_F(DeviceSums, AWaitEndsAfterTheTimeLimit) {
  TimedRanks alone(std::make_shared<Ranks>(), 1.5);
  const auto joined = join(alone);
  ASSERT_TRUE(joined.sum) << joined.problem;
  driver.done = 0;
  nccl.async_error = Nccl::kInProgress;
  EXPECT_THAT(thrown<RankLost>([&] { joined.sum->wait(); }), HasSubstr("for 1.5 s"));
}

TEST_F(DeviceSums, AHostIsAFewStepsAheadAtMost) {
  TimedRanks alone(std::make_shared<Ranks>(), 1.5);
  const auto joined = join(alone);
  ASSERT_TRUE(joined.sum) << joined.problem;
  driver.done = driver.marks + 3;
  for (std::size_t step = 0; step < 3 + DeviceSum::kAhead; ++step) {
    joined.sum->end_step();
  }
  EXPECT_THAT(thrown<RankLost>([&] { joined.sum->end_step(); }), HasSubstr("for 1.5 s"));
}

}  // namespace
}  // namespace unroll
