#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <string>

#include "cli/options.h"
#include "cli/ranks.h"
#include "unroll/compute.h"
#include "unroll/model.h"

namespace unroll::app {

/// --device and --threads.
void add_machine_options(Options& options);

/// Throws UsageError when --device or --threads is wrong in itself; touches no device.
void check_machine_options(const Options& options);

/// Throws UsageError when --graph and --device, both given, contradict each other.
void check_graph(const Options& options, GraphMode graph);

/// What is said when steps cannot be captured.
std::string without_graph(const std::string& reason);

/// The folder for compiled kernels: in UNROLL_CACHE, else in the user's cache folder; empty, as for
/// an empty UNROLL_CACHE, to keep none.
std::filesystem::path kernel_cache();

/// On a GPU, products of float32 are taken in float32: LibTorch's and cuDNN's would be in TF32,
/// with 10 bits of mantissa. Kernels for it are kept in kernel_cache(), and what is said of
/// compiling them goes to stderr.
void set_up_gpu(bool is_quiet);

/// The device that --device names. With others on this machine, the process is kept to its share of
/// the cores, with a thread for each, and to a GPU of its own. Calls set_up_gpu.
torch::Device set_up_device(const Options& options, const Place& place = {});

/// The same, and sets the number of threads that is asked for. More threads than cores,
/// which wait for each other, are reported on stderr, unless --quiet.
torch::Device set_up_machine(const Options& options, const Place& place = {});

/// Calls `warn` with why our kernels cannot be used on a GPU, if they are wanted and cannot; false
/// then.
bool explain_kernels(const SequenceModel& net, const ModelConfig& config, const Compute& asked,
                     const std::function<void(const std::string&)>& warn);

/// Calls `warn` with what a user may not expect of how the model computes batches of so many
/// sequences: no kernels on a GPU, or another precision than was asked for. Returns what is in
/// force.
Compute explain_compute(const SequenceModel& net, const ModelConfig& config, const Compute& asked,
                        int64_t batch_size, const std::function<void(const std::string&)>& warn);

/// A message on stderr that more threads than cores are slower, if there are so many.
void warn_of_threads(int64_t threads);

/// Whether --model says fused: the default model, and --compute fused.
bool is_fused_by_model(const Options& options);

/// Puts the options of a model and of who computes it into these, where they are given.
void read_model(const Options& options, ModelConfig& config, Compute& compute);

/// Puts --compute and the like into `compute`, where they are given.
void read_compute(const Options& options, Compute& compute);

}  // namespace unroll::app
