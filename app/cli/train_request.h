#pragma once

#include <optional>
#include <string>

#include "cli/options.h"
#include "unroll/checkpoint.h"
#include "unroll/compute.h"

namespace unroll::app {

/// What train is asked for, beside files and the machine.
struct TrainRequest {
  ModelConfig config;
  TrainRecord record;  ///< as a checkpoint holds it, but for where the training stands
};

/// The options of train.
Options declare_train_options();

/// Lets the texts and the command's own options of a training stand in for those that are not
/// given.
void restore_settings(Options& options, const TrainRecord& record);

/// The training to resume, if there is one; its options stand in for those that are not given.
std::optional<Checkpoint> load_resumed(Options& options);

/// Throws UsageError for what the options show to be wrong by themselves, and when they ask for
/// another training than the one to resume.
TrainRequest read_train_request(const Options& options, const std::optional<Checkpoint>& resumed);

/// The share of the corpus that --valid holds out, if it is no file.
std::optional<double> valid_share(const Options& options);

/// Where the training is saved; empty when it is not.
std::string save_path(const Options& options);

}  // namespace unroll::app
