#include "cli/cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <compare>
#include <fstream>
#include <vector>

#include "base/formatted.h"

namespace unroll::app {
namespace {

// Where a logical processor is in the machine; those that share more compare as neighbours.
struct Processor {
  int64_t socket = 0;
  int64_t core = 0;
  int64_t number = 0;

  auto operator<=>(const Processor&) const = default;
};

Processor processor_of(int64_t processor) {
  const auto number_in = [&](const char* name) {
    int64_t number = 0;
    std::ifstream(formatted("/sys/devices/system/cpu/cpu{}/topology/{}", processor, name)) >>
        number;
    return number;
  };
  return {.socket = number_in("physical_package_id"),
          .core = number_in("core_id"),
          .number = processor};
}

}  // namespace

int64_t keep_to_share_of_cores(int64_t local_rank, int64_t local_world) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    return 0;
  }
  std::vector<Processor> processors;
  for (int64_t processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (CPU_ISSET(processor, &allowed)) {
      processors.push_back(processor_of(processor));
    }
  }
  const auto count = static_cast<int64_t>(processors.size());
  const auto online = static_cast<int64_t>(sysconf(_SC_NPROCESSORS_ONLN));
  const bool has_its_own = count < online && count * local_world <= online;
  if (local_world < 2 || has_its_own) {
    return 0;
  }
  if (count < local_world) {
    return 1;
  }
  std::sort(processors.begin(), processors.end());
  const auto begin = count * local_rank / local_world;
  const auto end = count * (local_rank + 1) / local_world;
  cpu_set_t share;
  CPU_ZERO(&share);
  for (auto i = begin; i < end; ++i) {
    CPU_SET(processors[static_cast<std::size_t>(i)].number, &share);
  }
  sched_setaffinity(0, sizeof share, &share);
  return end - begin;
}

}  // namespace unroll::app
