#include "study/peak_memory.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "cuda_part/cuda_part.h"
#include "unroll/train.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace unroll {
namespace {

// A line of the process' status, `VmRSS` (its memory now) or `VmHWM` (the most since it was
// forgotten), in bytes; 0 where the system does not tell.
int64_t memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) {
      return std::stoll(line.substr(key.size() + 1)) * 1024;
    }
  }
  return 0;
}

// Returns what was freed to the system and lets VmHWM begin anew, where there are such things.
void forget_peak_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  std::ofstream("/proc/self/clear_refs") << 5;
}

}  // namespace

PeakMemory::PeakMemory(torch::Device device) : device_(device) {
  peak_before_ = peak();
  if (device.is_cpu()) {
    forget_peak_memory();
    before_ = memory("VmRSS");
  } else if (cuda_part().part != nullptr) {
    cuda_part().part->forget_peak_memory(device);
    before_ = cuda_part().part->memory(device).now;
  }
}

PeakMemory measure_training(const SeqDataLoader& train_iter, int64_t vocab_size,
                            const ModelSetup& setup, const UpdaterOptions& updater_options) {
  const PeakMemory memory(train_iter.device());
  const auto net = make_model(setup.config, vocab_size, train_iter.device(), setup.compute);
  const auto updater = make_updater(*net, updater_options);
  TrainProgress progress;
  const auto step = make_train_step(*net, *updater, progress, {.on_nonfinite = OnNonfinite::kSkip});
  const auto epoch = train_iter.epoch(0);
  for (int64_t k = 0; k < std::min<int64_t>(epoch.size(), 2); ++k) {
    step->run_batch(epoch, k);
  }
  return memory;
}

int64_t PeakMemory::added() const { return std::max<int64_t>(0, peak() - before_); }

int64_t PeakMemory::total() const { return std::max(peak_before_, peak()); }

int64_t PeakMemory::peak() const {
  if (device_.is_cpu()) {
    return memory("VmHWM");
  }
  return cuda_part().part == nullptr ? 0 : cuda_part().part->memory(device_).peak;
}

}  // namespace unroll
