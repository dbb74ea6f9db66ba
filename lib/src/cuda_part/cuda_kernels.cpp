#include "cuda_part/cuda_kernels.h"

#include <algorithm>
#include <array>
#include <exception>
#include <future>
#include <set>
#include <utility>

#include "base/formatted.h"
#include "base/message_of.h"

namespace unroll {

CudaKernels::CudaKernels(const CudaDriver& driver, CompileKernel compile,
                         std::function<void(const std::string&)> notice,
                         std::chrono::milliseconds patience)
    : driver_(driver),
      compile_(std::move(compile)),
      notice_(std::move(notice)),
      patience_(patience) {}

bool CudaKernels::serve(CellKind cell, cuda::Operands operands, int64_t batch_size, int64_t hidden,
                        torch::Device device, const std::vector<std::string>& besides) const {
  const std::vector<Task> tasks{
      {cuda::Work::kForward, cell, operands, batch_size, hidden, device.index()},
      {cuda::Work::kBackward, cell, operands, batch_size, hidden, device.index()}};
  const std::lock_guard lock(mutex_);
  prepare(tasks, besides, device);
  return kernels_.at(tasks[0]).has_value() && kernels_.at(tasks[1]).has_value() &&
         has_loaded(besides, device);
}

bool CudaKernels::have(const std::vector<std::string>& names, torch::Device device) const {
  const std::lock_guard lock(mutex_);
  prepare({}, names, device);
  return has_loaded(names, device);
}

cuda::GpuLimits CudaKernels::limits(torch::Device device) const {
  const std::lock_guard lock(mutex_);
  return limits_of(device);
}

bool CudaKernels::has_loaded(const std::vector<std::string>& names, torch::Device device) const {
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    const auto found = loaded_.find({device.index(), name});
    return found != loaded_.end() && found->second != nullptr;
  });
}

bool CudaKernels::can_generate(CellKind cell, int64_t batch_size, int64_t hidden,
                               int64_t vocab_size, torch::Device device) const {
  const Task task{cuda::Work::kGenerate, cell, cuda::Operands::kFloat32, batch_size, hidden,
                  device.index()};
  const std::lock_guard lock(mutex_);
  if (!cuda::has_generation(cell, batch_size, hidden, vocab_size, limits_of(device))) {
    return false;
  }
  prepare({task}, {}, device);
  return kernels_.at(task).has_value();
}

std::string CudaKernels::problem(torch::Device device) const {
  const std::lock_guard lock(mutex_);
  limits_of(device);
  const auto entry = problems_.find(device.index());
  return entry == problems_.end() ? "" : entry->second;
}

const cuda::GpuLimits& CudaKernels::limits_of(torch::Device device) const {
  if (const auto known = limits_.find(device.index()); known != limits_.end()) {
    return known->second;
  }
  cuda::GpuLimits limits;
  attempt(device, /*is_needed=*/true, [&] {
    auto found = driver_.limits(device);
    if (!found.has_kernels()) {
      throw Error(formatted("they need compute capability {}.{} or later, {} has {}.{}",
                            cuda::kFirstWithKernels / 10, cuda::kFirstWithKernels % 10,
                            device.str(), found.capability / 10, found.capability % 10));
    }
    // That it compiles and loads is worth knowing even where there are no clusters.
    const auto* kernel = driver_.load(compile_(cuda::kNoWork, found.capability), device);
    limits = found;
    if (limits.capability >= cuda::kFirstWithClusters) {
      count_clusters(kernel, device, limits);
    }
  });
  return limits_.emplace(device.index(), limits).first->second;
}

void CudaKernels::count_clusters(LoadedKernel kernel, torch::Device device,
                                 cuda::GpuLimits& limits) const {
  for (int blocks = cuda::kFewestBlocks; blocks <= cuda::kMostBlocks; ++blocks) {
    try {
      limits.clusters.at(static_cast<std::size_t>(blocks)) = driver_.most_clusters(
          kernel, {.blocks = blocks, .cluster = blocks, .shared_bytes = limits.shared_bytes},
          device);
    } catch (const Error&) {
      continue;  // of so many blocks there are none
    }
  }
}

template <typename Work>
void CudaKernels::attempt(torch::Device device, bool is_needed, const Work& work) const {
  std::string problem;
  try {
    work();
    return;
  } catch (const std::exception& error) {
    problem = message_of(error);
  }
  if (is_needed) {
    problems_.emplace(device.index(), problem);
  }
}

void CudaKernels::prepare(const std::vector<Task>& tasks, const std::vector<std::string>& names,
                          torch::Device device) const {
  const auto& limits = limits_of(device);
  struct Planned {
    Task task;
    std::optional<cuda::Plan> plan;
    std::string name;
  };
  std::vector<Planned> all;
  std::set<std::string> missing;
  bool is_served = tasks.empty();
  for (const auto& task : tasks) {
    if (const auto known = kernels_.find(task); known != kernels_.end()) {
      is_served = is_served || known->second.has_value();
      continue;
    }
    auto& planned = all.emplace_back(Planned{.task = task, .plan = {}, .name = {}});
    planned.plan = cuda::make_plan(task.cell, way_of(task.work), task.batch_size, task.hidden,
                                   limits, task.operands);
    if (planned.plan) {
      is_served = true;
      planned.name = cuda::kernel_name(*planned.plan, task.cell, task.work);
      if (!loaded_.contains({task.device, planned.name})) {
        missing.insert(planned.name);
      }
    }
  }
  for (const auto& name : names) {
    if (is_served && limits.has_kernels() && !loaded_.contains({device.index(), name})) {
      missing.insert(name);
    }
  }
  load(missing, !tasks.empty(), device);
  for (const auto& [task, plan, name] : all) {
    const auto found = loaded_.find({task.device, name});
    const bool is_there = plan && found != loaded_.end() && found->second != nullptr;
    kernels_.emplace(task, is_there ? std::optional(Ready{*plan, found->second}) : std::nullopt);
  }
}

void CudaKernels::load(const std::set<std::string>& names, bool are_needed,
                       torch::Device device) const {
  const int capability = limits_of(device).capability;
  std::map<std::string, std::future<CompiledKernel>> compiling;
  for (const auto& name : names) {
    compiling.emplace(name, std::async(std::launch::async, compile_, name, capability));
  }
  const auto patience = std::chrono::steady_clock::now() + patience_;
  for (auto& [name, future] : compiling) {
    auto& kernel = future;  // clang 14 has no lambda take a name of this list
    if (kernel.wait_until(patience) != std::future_status::ready && notice_ &&
        !std::exchange(is_told_, true)) {
      notice_(formatted("compiling kernels for {}", device.str()));
    }
    auto& loaded = loaded_[{device.index(), name}];  // what failed once is not tried again
    attempt(device, are_needed, [&] { loaded = driver_.load(kernel.get(), device); });
  }
}

int CudaKernels::blocks_for(int64_t pieces, torch::Device device, int each) const {
  return static_cast<int>(
      std::clamp<int64_t>(pieces, 1, int64_t{each} * limits(device).multiprocessors));
}

void CudaKernels::launch(const std::string& name, const KernelLaunch& launch, const void* arguments,
                         torch::Device device) const {
  LoadedKernel kernel = nullptr;
  {
    const std::lock_guard lock(mutex_);
    prepare({}, {name}, device);
    if (const auto found = loaded_.find({device.index(), name}); found != loaded_.end()) {
      kernel = found->second;
    }
  }
  if (kernel == nullptr) {
    throw Error(formatted("there is no kernel {} on {}", name, device.str()));
  }
  driver_.launch(kernel, launch, {&arguments, 1}, device);
}

CudaKernels::Ready CudaKernels::ready_for(const Task& task, torch::Device device) const {
  const std::lock_guard lock(mutex_);
  prepare({task}, {}, device);
  const auto& ready = kernels_.at(task);
  if (!ready) {
    throw Error(
        formatted("there is no kernel for {} hidden units on {}", task.hidden, device.str()));
  }
  return *ready;
}

template <typename Arguments>
void CudaKernels::run_work(cuda::Work work, CellKind cell, cuda::Operands operands,
                           Arguments arguments, torch::Device device, Workspace& workspace) const {
  const auto [plan, kernel] = ready_for(
      {work, cell, operands, arguments.batch_size, arguments.hidden, device.index()}, device);
  if (!plan.in_clusters) {
    arguments.exchange = {.words = workspace.words(plan.exchange_words, device),
                          .arrivals = workspace.arrivals(plan.groups, device) + 1};
  }
  // A kernel in clusters takes the arguments and how many blocks a group has, one in a grid also
  // the units of a block.
  const std::array<const void*, 3> parameters{&arguments, &plan.blocks, &plan.units};
  driver_.launch(kernel,
                 {.blocks = plan.blocks * plan.groups,
                  .cluster = plan.in_clusters ? plan.blocks : 0,
                  .together = !plan.in_clusters,
                  .shared_bytes = plan.shared_bytes},
                 std::span(parameters).first(plan.in_clusters ? 2 : 3), device);
}

void CudaKernels::run(CellKind cell, cuda::Operands operands,
                      const cuda::ForwardArguments& arguments, torch::Device device,
                      Workspace& workspace) const {
  run_work(cuda::Work::kForward, cell, operands, arguments, device, workspace);
}

void CudaKernels::run(CellKind cell, cuda::Operands operands,
                      const cuda::BackwardArguments& arguments, torch::Device device,
                      Workspace& workspace) const {
  run_work(cuda::Work::kBackward, cell, operands, arguments, device, workspace);
}

void CudaKernels::run(CellKind cell, const cuda::GenerateArguments& arguments, torch::Device device,
                      Workspace& workspace) const {
  run_work(cuda::Work::kGenerate, cell, cuda::Operands::kFloat32, arguments, device, workspace);
}

}  // namespace unroll
