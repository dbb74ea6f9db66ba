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
  CorpusOptions text;
  DataOptions data;
  TrainOptions training;
};

/// The options of train.
Options declare_train_options();

/// The training to go on with, if there is one; its options stand in for those that are not given.
std::optional<Checkpoint> load_resumed(Options& options);

/// Throws UsageError for what the options show to be wrong by themselves.
TrainRequest read_train_request(const Options& options);

/// Throws UsageError for what the paths and flags of the output show to be wrong by themselves.
void check_output_options(const Options& options);

/// The share of the corpus that --valid holds out, if it is no file.
std::optional<double> valid_share(const Options& options);

/// Where the training is saved; empty when it is not.
std::string save_path(const Options& options);

/// What a checkpoint is to hold of the request; paths hold in any folder.
TrainRecord make_record(const Options& options, const TrainRequest& request);

}  // namespace unroll::app
