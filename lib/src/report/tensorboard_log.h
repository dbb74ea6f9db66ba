#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/event_file.h"
#include "unroll/train.h"

namespace unroll {

/// The log of a training as TensorBoard shows it, a step an epoch: the tags `perplexity/train`,
/// `gradient norm`, `learning rate`, `tokens per second`; where there are such,
/// `perplexity/validation` and `skipped steps`; and `sample/1`, `sample/2`, ..., a prompt each.
class TensorBoardLog {
 public:
  /// Continues after the epochs of `history`: what the folder holds of later ones is dropped, and
  /// an empty folder gets them first. Throws Error as EventFile does, as do all others.
  explicit TensorBoardLog(const std::filesystem::path& folder,
                          const std::vector<EpochStats>& history = {});

  /// Adds an epoch.
  void write(const EpochStats& stats);

  /// Adds the first prompt continued, after an epoch.
  void write_sample(const EpochStats& stats, const std::string& text);

  /// Adds all prompts continued, after the last epoch; nothing unless this log has that epoch.
  void write_samples(const TrainResult& result);

  void sync() { file_.sync(); }

 private:
  EventFile file_;
  int64_t written_ = 0;  // the last epoch
  int64_t sampled_ = 0;  // the last epoch with a sample
};

}  // namespace unroll
