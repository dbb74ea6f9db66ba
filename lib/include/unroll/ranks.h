#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "unroll/error.h"
#include "unroll/options.h"

#pragma GCC visibility push(default)
namespace unroll {

/// Another rank died, hangs or cannot be reached.
class RankLost : public Error {
 public:
  using Error::Error;
};

/// What a rank wants all of them to do between two steps. A higher one includes the lower.
enum class Request {
  kNone,  ///< nothing
  kSave,  ///< to save
  kStop,  ///< to end the training
};

/// What adds up the gradients of ranks.
enum class RankBackend {
  kAuto,  ///< NCCL where each rank has a CUDA device of its own, else Gloo
  kGloo,  ///< Gloo, through the hosts' memory
};
constexpr auto enum_names(RankBackend) {
  return enum_table<RankBackend>("rank-backend",
                                 {{RankBackend::kAuto, "auto"}, {RankBackend::kGloo, "gloo"}});
}

/// The processes that train one model together, each on its rows of every batch (data-parallel).
/// This class itself is a process alone; join_ranks gives one of several.
///
/// Every rank must call the same of these functions in the same order. They throw RankLost when
/// another rank is gone, or has not answered in time. Nothing can be done with them after that.
class Ranks {
 public:
  virtual ~Ranks() = default;

  /// 0 <= rank() < world(). Rank 0 shows and saves.
  virtual int64_t rank() const { return 0; }
  /// How many there are.
  virtual int64_t world() const { return 1; }
  /// What is to add up their gradients.
  virtual RankBackend backend() const { return RankBackend::kAuto; }
  /// Seconds that they wait for each other at most.
  virtual double timeout() const { return std::numeric_limits<double>::infinity(); }

  /// Waits for what was started, once; then its result is there.
  using Wait = std::function<void()>;

  /// Starts to add up `values` of all ranks, in place: every rank then has the same bits. The
  /// tensor must be contiguous, of one shape everywhere, and left alone until the wait is over.
  virtual Wait start_all_reduce(const torch::Tensor& values);
  /// The same, with the wait.
  void all_reduce(const torch::Tensor& values) { start_all_reduce(values)(); }

  /// Puts rank 0's values into this tensor, in place.
  virtual void broadcast(const torch::Tensor& values);

  /// Rank 0's text.
  virtual std::string broadcast(const std::string& text) { return text; }

  /// Asks all ranks for something. A train step carries it to the others.
  void ask(Request request);
  /// The highest that any rank had asked for when the last step was taken, or a process alone until
  /// now; forgets it.
  Request take_asked();

  /// What this rank asks for and has not told the others yet; forgets it. For a train step.
  Request take_request();
  /// Keeps what the ranks asked for. For a train step.
  void set_asked(Request request) { asked_ = request; }

 private:
  Request request_ = Request::kNone;
  Request asked_ = Request::kNone;
};

/// This rank's part of a row (N) that all have; all parts together are the row. A view.
torch::Tensor part_of(const Ranks& ranks, const torch::Tensor& row);

/// Which of how many ranks this process is, and where they meet.
struct RanksOptions {
  int64_t rank = 0;                   ///< of this process
  int64_t world = 1;                  ///< how many there are
  int64_t local_world = 0;            ///< how many of them run on this machine; 0: not known
  std::string address = "127.0.0.1";  ///< where they meet: a host's name or address
  int64_t port = 29500;               ///< and its port
  /// Whether the launcher itself listens there, as torchrun does; else rank 0 does.
  bool launcher_listens = false;
  /// Keeps apart those who meet at one place, one after the other: the launcher's restarts.
  std::string session = {};
  std::string interface = {};  ///< of the network; empty: that through which `address` is reached
  double timeout = 300;        ///< seconds that ranks wait for each other at most
  RankBackend backend = RankBackend::kAuto;  ///< what adds up the gradients
};

/// Meets the other ranks. They add up tensors by Gloo (c10d::ProcessGroupGloo), those of another
/// device through the host's memory. A train step on CUDA devices has a faster way (RankBackend).
///
/// Throws UsageError for options out of range, RankLost if the others are not there in time, and
/// Error where the place or the interface is wrong, or this build cannot do it (ranks_problem).
std::shared_ptr<Ranks> join_ranks(const RanksOptions& options);

/// Why this build cannot join ranks; empty if it can.
std::string ranks_problem();

}  // namespace unroll
#pragma GCC visibility pop
