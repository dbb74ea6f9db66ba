#pragma once

#include <optional>
#include <string>

#include "cli/options.h"
#include "unroll/checkpoint.h"
#include "unroll/compute.h"

namespace unroll::app {

/// The checkpoints that a training may come from.
struct TrainCheckpoints {
  std::optional<Checkpoint> resumed;  ///< whose training continues
  std::optional<Checkpoint> initial;  ///< whose weights and vocabulary a new training begins with
};

/// What train is asked for, beside files and the machine.
struct TrainRequest {
  ModelConfig config;
  TrainRecord record;  ///< as a checkpoint holds it, but for where the training stands
};

/// The options of a training: its text, model, batches, machine and all that TrainOptions has, but
/// for what is saved and shown of it.
void add_training_options(Options& options, const TrainOptions& defaults = {},
                          OptionNames without = {});

/// Puts these into a description of the training, where they are given. Throws UsageError for what
/// they show to be wrong by themselves.
void read_training(const Options& options, ModelConfig& config, TrainRecord& record);

/// The options of train.
Options declare_train_options();

/// Lets the texts and the command's own options of a training stand in for those that are not
/// given.
void restore_settings(Options& options, const TrainRecord& record);

/// Reads the checkpoint to resume or to begin with, if there is one. The options of a training to
/// resume stand in for those that are not given.
TrainCheckpoints load_checkpoints(Options& options);

/// Throws UsageError for what the options show to be wrong by themselves, and when they ask for
/// another training than the one to resume, or another model than the one to begin with.
TrainRequest read_train_request(const Options& options, const TrainCheckpoints& checkpoints);

/// What a resumed training that is finished already needs to go on, and which of the options given
/// changed nothing.
std::string explain_finished(const Options& options, const TrainOptions& training,
                             const TrainState& state);

/// The share of the corpus that --valid holds out, if it is no file.
std::optional<double> valid_share(const Options& options);

/// Where the training is saved; empty when it is not.
std::string save_path(const Options& options);

}  // namespace unroll::app
