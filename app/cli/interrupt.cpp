#include "cli/interrupt.h"

#include <csignal>

#include "base/formatted.h"

namespace unroll::app {
namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void outlive_readers() { std::signal(SIGPIPE, SIG_IGN); }

bool is_interrupted() { return interrupted != 0; }

std::string interruption(const TrainProgress& progress) {
  return formatted("interrupted in epoch {}, after batch {}", progress.epoch + 1, progress.batch);
}

void check_interrupt(const TrainProgress& progress) {
  if (is_interrupted()) {
    throw Interrupted(interruption(progress));
  }
}

}  // namespace unroll::app
