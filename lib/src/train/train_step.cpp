#include <utility>

#include "base/formatted.h"
#include "cuda_part/cuda_part.h"
#include "cuda_part/device_sum.h"
#include "ranks/or_alone.h"
#include "train/device_gradient_sum.h"
#include "train/device_step.h"
#include "train/gradients.h"
#include "train/graph_step.h"
#include "train/host_step.h"
#include "unroll/compute.h"
#include "unroll/train.h"

namespace unroll {
namespace {

// That of the device on which a step computes all by itself. Where the host waits for a value in
// the middle of it, a rank that is lost would make it wait without a limit.
const CudaDriver& driver_for(const Updater& updater, const StepOptions& options,
                             torch::Device device) {
  if (!device.is_cuda()) {
    throw Error(formatted("{} is no CUDA device", device.str()));
  }
  if (options.loss || dynamic_cast<const DeviceUpdater*>(&updater) == nullptr) {
    throw Error("a loss or an optimizer of one's own may ask the device for values");
  }
  const auto& cuda = cuda_part();
  if (cuda.part == nullptr) {
    throw Error(cuda.problem);
  }
  return cuda.part->driver();
}

// The ranks' devices; without a sum where gradients go through the hosts.
JoinedDevices devices_for(const SequenceModel& net, const Updater& updater,
                          const StepOptions& options) {
  if (or_alone(options.ranks)->world() == 1) {
    return {};
  }
  const auto device = net.device();
  return join_devices(
      *options.ranks, device,
      {.driver = [&]() -> const CudaDriver& { return driver_for(updater, options, device); },
       .example = [&] { return DeviceGradientSum::zero_row(values(trained_weights(net))); }});
}

}  // namespace

std::unique_ptr<TrainStep> make_train_step(SequenceModel& net, Updater& updater,
                                           TrainProgress& progress, const StepOptions& options,
                                           GraphMode graph, FallbackCallback on_fallback) {
  const auto device = net.device();
  require_supported({.graph = graph}, device);
  auto devices = devices_for(net, updater, options);
  if (device.is_cpu()) {
    return std::make_unique<HostStep>(net, updater, progress, options);
  }
  // A loss of the user's own may compute on the host, which a graph would not repeat.
  if (device.is_cuda() && graph != GraphMode::kOff && !options.loss) {
    const auto& cuda = cuda_part();
    if (cuda.part != nullptr && devices.problem.empty()) {
      return std::make_unique<GraphStep>(net, updater, progress, options,
                                         cuda.part->make_graph(device), std::move(on_fallback),
                                         cuda.kernels.get(), std::move(devices.sum));
    }
    if (on_fallback) {
      on_fallback(cuda.part == nullptr ? cuda.problem
                                       : formatted("the ranks' gradients go through the hosts: {}",
                                                   devices.problem));
    }
  }
  return std::make_unique<DeviceStep>(net, updater, progress, options, std::move(devices.sum));
}

}  // namespace unroll
