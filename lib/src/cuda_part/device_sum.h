#pragma once

#include <torch/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "cuda_part/cuda_driver.h"
#include "cuda_part/nccl.h"
#include "unroll/ranks.h"

namespace unroll {

/// Adds up what the ranks' devices have, without the hosts.
///
/// To destroy it ends the sums that the device has not done yet; what they were to give is then
/// undefined, on every rank.
///
/// Every rank calls the same in the same order. Functions throw Error where NCCL refuses the work,
/// and RankLost. A graph that has captured a sum must be destroyed before it.
class DeviceSum {
 public:
  virtual ~DeviceSum() = default;

  /// Adds up these of all ranks, in place, in order with the device's other work and without
  /// waiting for it; it can be captured in a graph. They are contiguous, float32 or float64, and as
  /// many on every rank.
  virtual void all_reduce(const torch::Tensor& values) = 0;

  /// Ends a step, and returns when the device has done all but the last kAhead of them: so that
  /// the host notices when one does not end.
  virtual void end_step() = 0;
  static constexpr std::size_t kAhead = 2;

  /// Returns when the device has done what it was given. Both throw RankLost if it takes longer
  /// than Ranks::timeout, or if NCCL cannot reach another rank. The device still waits then, until
  /// the sum is destroyed.
  virtual void wait() = 0;
};

/// The sum of all ranks' devices, or why there is none on any of them.
struct JoinedDevices {
  std::unique_ptr<DeviceSum> sum = {};
  std::string problem = {};
};

/// What a rank brings for it. Each function may throw Error.
struct SumParts {
  std::function<const CudaDriver&()> driver;
  /// Values of the type and number that will be added up. The first sum is of these: NCCL connects
  /// the devices at the first sum of a size.
  std::function<torch::Tensor()> example;
  std::function<const Nccl&()> nccl = &Nccl::loaded;
};

/// Joins the devices of all ranks by NCCL. All ranks call it, whatever their devices are. Driver
/// and NCCL must live as long as the program.
///
/// Where a rank has no device for it, or NCCL refuses one, there is no sum. Throws RankLost for
/// another rank that is gone, and where NCCL has not answered within a third of Ranks::timeout, as
/// when it refuses one rank and the others wait for that one.
JoinedDevices join_devices(Ranks& ranks, torch::Device device, const SumParts& parts);

}  // namespace unroll
