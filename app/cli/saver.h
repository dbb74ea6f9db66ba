#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "cli/progress.h"
#include "cli/save_interval.h"
#include "unroll/checkpoint.h"
#include "unroll/notebook.h"
#include "unroll/train.h"

namespace unroll::app {

/// Saves a training while it runs: every so often, when it is interrupted, and its best.
class Saver {
 public:
  /// `checkpoint` makes one of where training stands.
  Saver(std::filesystem::path path, int64_t keep, SaveInterval interval, Progress& progress)
      : files_(std::move(path), keep), interval_(interval), progress_(progress) {}

  /// The checkpoint to resume, which is there already.
  void set_last(std::string path, const Checkpoint& checkpoint);

  /// Where checkpoints come from.
  void set_source(std::function<Checkpoint()> checkpoint) { checkpoint_ = std::move(checkpoint); }

  /// Whether it is time to save within an epoch.
  bool is_due() const;

  /// Saves, now or when it is time after an epoch. A disk that does not take it costs a line on
  /// stderr: what was there is whole, and the training is worth more than the end of it.
  void save_while_training();
  void after_epoch(const EpochStats& stats);

  /// Saves the best beside it, likewise.
  void save_best();

  /// The same with the best of the training that continues, unless it is there already.
  void keep_best_of(const std::string& from, const Checkpoint& resumed);

  std::string path() const { return files_.path().string(); }

  /// Saves in any case. Throws Error when that fails.
  void save();

  /// Saves what was trained since the last checkpoint, if there is anything. Throws as save does.
  void save_last();

  /// `the last checkpoint is FILE, after 7 epochs`, or that there is none.
  std::string last() const;

 private:
  void save_unless_it_fails(const std::function<void()>& work);
  void write(const Checkpoint& checkpoint);

  struct Last {
    std::string path;
    int64_t epochs = 0;
    int64_t batch = 0;  // of the running epoch
  };

  CheckpointFiles files_;
  SaveInterval interval_;
  Progress& progress_;
  std::function<Checkpoint()> checkpoint_;
  std::optional<Last> last_;
  Timer since_saved_;
};

}  // namespace unroll::app
