#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "unroll/checkpoint.h"
#include "unroll/compute.h"

namespace unroll::app {

/// One of the trainings that compare is asked for.
struct AskedConfiguration {
  std::string name;    // what sets it apart: `cell=lstm,hidden=256`; empty if nothing does
  Options options;     // train's own
  ModelConfig config;  // what they come to
  TrainRecord record;
};

/// --with. An option of a training may also be a list with commas between its values.
void add_configuration_options(Options& options);

/// Every --with, or every combination of the lists, or every combination for every --with; one if
/// there is neither. A single --with is compared with the training that the other options describe.
/// Throws UsageError, naming the --with, for what is wrong in it.
std::vector<AskedConfiguration> read_configurations(const Options& options,
                                                    const TrainOptions& defaults);

}  // namespace unroll::app
