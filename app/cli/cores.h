#pragma once

#include <cstdint>

namespace unroll::app {

/// Keeps this process to its share of the machine's cores where others like it run beside it: the
/// kernel would move them about, and two of them onto one core. Neighbouring cores stay together,
/// those of a socket and the threads of a core. To be called before there are other threads.
///
/// Returns the number of cores in the share. Returns 0 and changes nothing where the process runs
/// alone, or where a launcher has given each process cores of its own. Where there are fewer cores
/// than processes, it returns 1 and changes nothing.
int64_t keep_to_share_of_cores(int64_t local_rank, int64_t local_world);

}  // namespace unroll::app
