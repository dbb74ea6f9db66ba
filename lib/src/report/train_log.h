#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "unroll/train.h"

namespace unroll {

/// The log of a training as it lies on disk: log_line's JSON object for each epoch.
///
/// While it lives, another training cannot write to the same file.
class TrainLog {
 public:
  /// Begins with the lines of `history`, the epochs that are over. Those of the same perplexities
  /// that are in the file already stay as they are, whatever follows them is cut off: a resumed
  /// training writes its epochs anew. Without history the file begins empty.
  /// Throws Error, naming the path, when it cannot be written, another training writes there, or
  /// the training to resume has left something else there.
  explicit TrainLog(const std::filesystem::path& path, const std::vector<EpochStats>& history = {});
  ~TrainLog();
  TrainLog(const TrainLog&) = delete;
  TrainLog& operator=(const TrainLog&) = delete;

  /// Adds an epoch; whole in the file when it returns. Throws Error, naming the path.
  void write(const EpochStats& stats);

  /// Waits until all is on the disk itself, so that a checkpoint that is written next is not ahead
  /// of the log. Throws Error, naming the path.
  void sync();

 private:
  [[noreturn]] void fail(const char* what) const;
  std::string content() const;
  void append(const std::string& text);

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace unroll
