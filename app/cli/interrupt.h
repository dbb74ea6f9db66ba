#pragma once

#include <stdexcept>
#include <string>

#include "unroll/train.h"

namespace unroll::app {

/// Ctrl-C or SIGTERM came while training.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// From here on the first SIGINT or SIGTERM only sets a flag; a second one ends the program.
void catch_interrupts();

/// From here on a reader that goes away, as `| head` does, does not end the program: what is
/// written for it is lost, and the exit code is that of a failure.
void outlive_readers();

/// Whether the flag is set.
bool is_interrupted();

/// `interrupted in epoch 3, after batch 5`
std::string interruption(const TrainProgress& progress);

/// Throws Interrupted, saying where training stands, when the flag is set.
void check_interrupt(const TrainProgress& progress);

}  // namespace unroll::app
