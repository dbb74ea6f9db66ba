#include "cli/machine.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/device_name.h"
#include "base/formatted.h"
#include "cli/cores.h"
#include "cli/message.h"
#include "unroll/device.h"
#include "unroll/error.h"

namespace unroll::app {

void add_machine_options(Options& options) {
  options.group("Machine")
      .value("device", "auto, cpu, cuda or cuda:N", "NAME", "auto")
      .value("threads", "threads of the CPU (default: all cores)", "N");
}

void check_machine_options(const Options& options) {
  check_device_name(options.text("device"));
  if (options.has("threads")) {
    require_in("--threads", options.integer("threads"), from_to(1, 4096));
  }
}

void check_graph(const Options& options, GraphMode graph) {
  if (graph == GraphMode::kOn && options.given("graph") && options.text("device") == "cpu") {
    throw UsageError("--graph on needs a CUDA device, got --device cpu");
  }
}

std::string without_graph(const std::string& reason) {
  return formatted("{}; the training continues without a graph", reason);
}

std::filesystem::path kernel_cache() {
  if (const char* folder = std::getenv("UNROLL_CACHE"); folder != nullptr) {
    return *folder == '\0' ? std::filesystem::path() : std::filesystem::path(folder) / "kernels";
  }
  // The base directories of freedesktop.org: a relative path is to be ignored.
  const char* caches = std::getenv("XDG_CACHE_HOME");
  if (caches != nullptr && *caches == '/') {
    return std::filesystem::path(caches) / "unroll/kernels";
  }
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') {
    return std::filesystem::path(home) / ".cache/unroll/kernels";
  }
  return {};
}

void set_up_gpu(bool is_quiet) {
  KernelSettings settings{.cache = kernel_cache()};
  if (!is_quiet) {
    settings.notice = [](const std::string& text) { print_error(text); };
  }
  set_kernel_settings(std::move(settings));
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
}

torch::Device set_up_device(const Options& options, const Place& place) {
  if (const auto cores = keep_to_share_of_cores(place.local_rank, place.ranks.local_world)) {
    at::set_num_threads(static_cast<int>(cores));
  }
  set_up_gpu(options.given("quiet") || !place.is_first());
  const auto device = parse_device(options.text("device"));
  const bool is_named = options.text("device").find(':') != std::string::npos;
  return device.is_cuda() && !is_named && place.ranks.world > 1
             ? parse_device(formatted("cuda:{}", place.local_rank))
             : device;
}

torch::Device set_up_machine(const Options& options, const Place& place) {
  const auto device = set_up_device(options, place);
  if (options.has("threads")) {
    at::set_num_threads(static_cast<int>(options.integer("threads")));
  }
  if (!options.given("quiet") && place.is_first()) {
    warn_of_threads(at::get_num_threads());
  }
  return device;
}

bool explain_kernels(const SequenceModel& net, const ModelConfig& config, const Compute& asked,
                     const std::function<void(const std::string&)>& warn) {
  const auto device = net.device();
  const bool are_wanted = device.is_cuda() && config.cell != Cell::kMlp &&
                          (asked.backend == Backend::kAuto || asked.backend == Backend::kFused);
  const auto problem = are_wanted ? cuda_kernels_problem(device) : "";
  if (!problem.empty()) {
    warn(formatted("computed without our kernels on {}: {}", device.str(), problem));
  }
  return problem.empty();
}

Compute explain_compute(const SequenceModel& net, const ModelConfig& config, const Compute& asked,
                        int64_t batch_size, const std::function<void(const std::string&)>& warn) {
  const auto effective = net.effective_compute(batch_size);
  const auto device = net.device();
  if (effective.precision != asked.precision) {
    warn(formatted("{} has no {} for this model: computed in {}", device.str(),
                   to_string(asked.precision), to_string(effective.precision)));
  }
  const bool is_plain = effective.backend == Backend::kPlain;
  if (effective.backend != Backend::kFused && explain_kernels(net, config, asked, warn) &&
      device.is_cuda() && is_plain && config.cell != Cell::kMlp &&
      (asked.backend == Backend::kAuto || asked.backend == Backend::kFused)) {
    warn(formatted("computed plain: the weights do not fit in our kernels on {}", device.str()));
  }
  return effective;
}

void warn_of_threads(int64_t threads) {
  const int64_t cores = std::thread::hardware_concurrency();  // 0: not known
  if (cores > 0 && threads > cores) {
    print_error(formatted("{} threads on {} wait for each other; --threads {} is faster", threads,
                          counted(cores, "core"), cores));
  }
}

bool is_fused_by_model(const Options& options) {
  return options.given("model") && options.text("model") == to_string(Backend::kFused);
}

void read_model(const Options& options, ModelConfig& config, Compute& compute) {
  is_fused_by_model(options) ? options.read(config, {"model"}) : options.read(config);
  read_compute(options, compute);
}

void read_compute(const Options& options, Compute& compute) {
  options.read(compute);
  if (!is_fused_by_model(options)) {
    return;
  }
  if (options.given("compute") && compute.backend != Backend::kFused) {
    throw UsageError(formatted("--model fused stands for --compute fused, got --compute {}",
                               to_string(compute.backend)));
  }
  compute.backend = Backend::kFused;
}

}  // namespace unroll::app
