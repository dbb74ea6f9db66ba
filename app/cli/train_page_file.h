#pragma once

#include <string>
#include <vector>

#include "cli/live_page.h"
#include "page/train_page.h"
#include "unroll/train.h"

namespace unroll::app {

/// The page of a training, written anew every few seconds while it runs.
class TrainPageFile {
 public:
  /// `page`: all but what the training comes to. Throws Error, naming the path, when it cannot be
  /// written.
  TrainPageFile(std::string path, TrainPage page, Progress& progress);

  /// Adds an epoch.
  void write(const EpochStats& stats);

  /// Adds the first prompt continued, after an epoch.
  void write_sample(const EpochStats& stats, const std::string& text);

  /// The page as it stays: `inspection` shows what the trained model does. Throws as above.
  void finish(const TrainResult& result, std::string inspection);

  /// The page of a training that ends before its last epoch.
  void stop(const std::string& problem);

 private:
  std::string html();

  LivePage file_;
  TrainPage page_;
};

}  // namespace unroll::app
