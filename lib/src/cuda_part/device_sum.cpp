#include "cuda_part/device_sum.h"

#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <future>
#include <queue>
#include <thread>
#include <utility>

#include "base/formatted.h"
#include "base/message_of.h"
#include "ranks/count_ranks.h"
#include "ranks/rank_lost.h"

namespace unroll {
namespace {

using std::chrono::steady_clock;

// A time limit, which may be none, as a clock can add it up.
steady_clock::duration limit(double seconds) {
  constexpr double kForEver = 1e9;
  return std::chrono::duration_cast<steady_clock::duration>(
      std::chrono::duration<double>(std::min(seconds, kForEver)));
}

// What went wrong: `unhandled system error: socketConnect: ...`.
std::string nccl_message(const Nccl& nccl, int error) {
  std::string text = nccl.get_error_string(error);
  const char* last = nccl.get_last_error(nullptr);
  const std::string details = last == nullptr ? "" : last;
  const auto line = details.substr(0, details.find('\n'));
  return line.empty() ? text : formatted("{}: {}", text, line);
}

void require(const Nccl& nccl, int error) {
  if (error == Nccl::kRemoteError) {
    throw gone_rank(nccl_message(nccl, error));
  }
  if (error != Nccl::kSuccess) {
    throw Error(formatted("NCCL: {}", nccl_message(nccl, error)));
  }
}

int type_of(const torch::Tensor& values) {
  if (values.scalar_type() == torch::kFloat32) {
    return Nccl::kFloat32;
  }
  if (values.scalar_type() == torch::kFloat64) {
    return Nccl::kFloat64;
  }
  throw Error(formatted("values of type {} are not added up between devices",
                        c10::toString(values.scalar_type())));
}

class NcclSum : public DeviceSum {
 public:
  using OwnedCommunicator = std::unique_ptr<void, int (*)(Nccl::Communicator)>;

  NcclSum(const Nccl& nccl, const CudaDriver& driver, torch::Device device, double timeout,
          OwnedCommunicator communicator)
      : nccl_(nccl),
        driver_(driver),
        device_(device),
        timeout_(timeout),
        communicator_(std::move(communicator)) {}

  void all_reduce(const torch::Tensor& values) override {
    const auto type = type_of(values);
    const c10::DeviceGuard guard(device_);
    auto* const data = values.mutable_data_ptr();
    require(nccl_, nccl_.all_reduce(data, data, static_cast<std::size_t>(values.numel()), type,
                                    Nccl::kSum, communicator_.get(), driver_.stream(device_)));
  }

  void end_step() override {
    steps_.push(driver_.mark(device_));
    if (steps_.size() > kAhead) {
      wait_for(steps_.front());
      steps_.pop();
    }
  }

  void wait() override { wait_for(driver_.mark(device_)); }

 private:
  void wait_for(const std::function<bool()>& is_done) const {
    const auto begin = steady_clock::now();
    while (!is_done()) {
      int error = Nccl::kSuccess;
      require(nccl_, nccl_.comm_get_async_error(communicator_.get(), &error));
      if (error != Nccl::kSuccess && error != Nccl::kInProgress) {
        throw gone_rank(nccl_message(nccl_, error));
      }
      if (steady_clock::now() - begin > limit(timeout_)) {
        throw silent_rank(timeout_);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

  const Nccl& nccl_;
  const CudaDriver& driver_;
  torch::Device device_;
  double timeout_;
  // Ended without waiting for anybody. That frees a device which waits, but itself waits until no
  // graph has a captured sum.
  OwnedCommunicator communicator_;
  std::queue<std::function<bool()>> steps_;  // what says whether each of the last ones is done
};

// A rank's place among those whose devices meet.
struct Seat {
  Nccl::UniqueId id{};
  int rank = 0;
  int world = 1;
};

// Waits for the other ranks' devices, without end.
std::unique_ptr<DeviceSum> meet(const Nccl& nccl, const CudaDriver& driver, torch::Device device,
                                double timeout, const Seat& seat, const torch::Tensor& example) {
  const c10::DeviceGuard guard(device);
  Nccl::Communicator made = nullptr;
  const int error = nccl.comm_init_rank(&made, seat.world, seat.id, seat.rank);
  NcclSum::OwnedCommunicator communicator(made, nccl.comm_abort);  // also of a start that failed
  require(nccl, error);
  auto sum = std::make_unique<NcclSum>(nccl, driver, device, timeout, std::move(communicator));
  sum->all_reduce(example);
  sum->wait();
  return sum;
}

// The same within a time limit, which NCCL itself does not have. Null after it: what then still
// waits does so beside the program, for as long as this runs.
std::unique_ptr<DeviceSum> meet_within(double seconds,
                                       std::function<std::unique_ptr<DeviceSum>()> meeting) {
  std::packaged_task<std::unique_ptr<DeviceSum>()> task(std::move(meeting));
  auto sum = task.get_future();
  std::thread(std::move(task)).detach();
  return sum.wait_for(limit(seconds)) == std::future_status::ready ? sum.get() : nullptr;
}

// What a rank needs for it, or why it has not.
struct OwnParts {
  const CudaDriver* driver = nullptr;
  const Nccl* nccl = nullptr;
  torch::Tensor example = {};
  std::string problem = {};
};

OwnParts own_parts(const Ranks& ranks, const SumParts& parts) {
  OwnParts own;
  if (ranks.backend() == RankBackend::kGloo) {
    own.problem = "Gloo was asked for";
    return own;
  }
  try {
    own.driver = &parts.driver();
    own.nccl = &parts.nccl();
    own.example = parts.example();
  } catch (const std::exception& error) {
    own.problem = message_of(error);
  }
  return own;
}

// The name of the meeting, which rank 0 gives to all; empty if it cannot.
std::string shared_id(Ranks& ranks, const Nccl& nccl) {
  Nccl::UniqueId id{};
  const bool is_given = ranks.rank() == 0 && nccl.get_unique_id(&id) == Nccl::kSuccess;
  return ranks.broadcast(is_given ? std::string(id.begin(), id.end()) : std::string());
}

}  // namespace

JoinedDevices join_devices(Ranks& ranks, torch::Device device, const SumParts& parts) {
  const auto own = own_parts(ranks, parts);
  JoinedDevices joined{.problem = own.problem};
  if (count_ranks(ranks, !own.problem.empty()) > 0) {
    if (joined.problem.empty()) {
      joined.problem = "another rank does not use NCCL";
    }
    return joined;
  }
  const auto id = shared_id(ranks, *own.nccl);
  Seat seat{.rank = static_cast<int>(ranks.rank()), .world = static_cast<int>(ranks.world())};
  if (id.size() != seat.id.size()) {
    return {.problem = "NCCL does not start on rank 0"};
  }
  std::ranges::copy(id, seat.id.begin());

  // Well before the others, who may wait for this rank's answer below, give it up.
  const double seconds = ranks.timeout() / 3;
  bool is_silent = false;
  try {
    joined.sum = meet_within(seconds, [nccl = own.nccl, driver = own.driver, device, seat,
                                       timeout = ranks.timeout(), example = own.example] {
      return meet(*nccl, *driver, device, timeout, seat, example);
    });
    is_silent = !joined.sum;
  } catch (const std::exception& error) {
    joined.problem = message_of(error);
  }
  if (count_ranks(ranks, is_silent) > 0) {
    throw RankLost(
        formatted("NCCL has not joined the ranks' devices within {:g} s; the rank backend gloo "
                  "does without it",
                  seconds));
  }
  if (count_ranks(ranks, !joined.sum) > 0) {
    joined.sum.reset();
    if (joined.problem.empty()) {
      joined.problem = "NCCL does not start on another rank";
    }
  }
  return joined;
}

}  // namespace unroll
