#include <utility>

#include "cuda_part/cuda_part.h"
#include "ranks/or_alone.h"
#include "train/device_step.h"
#include "train/graph_step.h"
#include "train/host_step.h"
#include "unroll/compute.h"
#include "unroll/train.h"

namespace unroll {

std::unique_ptr<TrainStep> make_train_step(SequenceModel& net, Updater& updater,
                                           TrainProgress& progress, const StepOptions& options,
                                           GraphMode graph, FallbackCallback on_fallback) {
  const auto device = net.device();
  require_supported({.graph = graph}, device);
  if (device.is_cpu()) {
    return std::make_unique<HostStep>(net, updater, progress, options);
  }
  const bool is_alone = or_alone(options.ranks)->world() == 1;
  if (device.is_cuda() && graph != GraphMode::kOff && !is_alone && on_fallback) {
    on_fallback("the steps of several ranks are not captured");
  }
  // A loss of the user's own may compute on the host, which a graph would not repeat.
  if (device.is_cuda() && graph != GraphMode::kOff && is_alone && !options.loss) {
    const auto& cuda = cuda_part();
    if (cuda.part != nullptr) {
      return std::make_unique<GraphStep>(net, updater, progress, options,
                                         cuda.part->make_graph(device), std::move(on_fallback),
                                         cuda.kernels.get());
    }
    if (on_fallback) {
      on_fallback(cuda.problem);
    }
  }
  return std::make_unique<DeviceStep>(net, updater, progress, options);
}

}  // namespace unroll
