#pragma once

#include <cstdint>
#include <string>

#include "unroll/notebook.h"
#include "unroll/text.h"
#include "unroll/train.h"

namespace unroll::app {

/// How far a text is read or a training is: one line on stderr that is rewritten, if stderr is a
/// terminal. Nothing elsewhere and when quiet.
class Progress {
 public:
  Progress(bool quiet, int64_t epochs);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows how far a text has been read, if that takes longer than a second.
  void show(const ReadProgress& read);

  /// Shows the figures of the epoch that ended.
  void show(const EpochStats& stats);

  /// Shows the batches of an epoch that takes long.
  void show(const TrainProgress& progress, int64_t batches);

  /// Begins another training of so many epochs, shown under `label`.
  void restart(const std::string& label, int64_t epochs);

  /// Takes the line away, so that others can print.
  void clear();

 private:
  bool is_due() const;
  void print(const std::string& line);

  bool silent_;
  int64_t epochs_;
  std::string label_;
  double seconds_ = 0;        // of the epochs shown since restart
  int64_t shown_epochs_ = 0;  // and their number
  Timer since_epoch_;         // since the last one ended
  Timer since_shown_;
  bool shown_ = false;
  bool on_screen_ = false;
};

}  // namespace unroll::app
