#pragma once

#include <cstdint>
#include <string>

#include "unroll/timer.h"
#include "unroll/train.h"

namespace unroll::app {

/// How far a training is, on stderr: one line that is rewritten on a terminal, else a plain line
/// every ten seconds. Silent when quiet.
class Progress {
 public:
  Progress(bool quiet, int64_t epochs, std::string label = "");
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows the figures of the epoch that ended.
  void show(const EpochStats& stats);

  /// Shows `label` before the next figures and counts epochs from here.
  void restart(std::string label);

  /// Takes the line away, so that others can print.
  void clear();

 private:
  bool quiet_;
  bool terminal_;
  int64_t epochs_;
  std::string label_;
  Timer since_start_;
  Timer since_shown_;
  bool shown_ = false;
  bool on_screen_ = false;
};

}  // namespace unroll::app
