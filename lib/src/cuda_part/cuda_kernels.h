#pragma once

#include <torch/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cuda_part/compiled_kernel.h"
#include "cuda_part/cuda_driver.h"
#include "cuda_part/workspace.h"
#include "kernels/cell_table.h"
#include "kernels/cuda/arguments.h"
#include "kernels/cuda/kernel_name.h"
#include "kernels/cuda/plan.h"
#include "unroll/error.h"  // what its functions throw

namespace unroll {

/// Kernels for all time steps of a layer and for what comes around them, each compiled and loaded
/// when it is first asked for. They work in order with what LibTorch does on its current stream,
/// and nothing waits for them. Safe to call from several threads at once.
class CudaKernels {
 public:
  /// The driver must outlive it. `notice` is called once, when compiling takes longer than
  /// `patience`.
  CudaKernels(const CudaDriver& driver, CompileKernel compile,
              std::function<void(const std::string&)> notice = {},
              std::chrono::milliseconds patience = std::chrono::seconds(1));

  /// Makes the kernels for batches of B and H hidden units ready, forward and backward, and those
  /// named `besides` (see have); false where there are none: the weights must find room in the
  /// device's multiprocessors, and the kernels must compile and load (see problem).
  bool serve(CellKind cell, cuda::Operands operands, int64_t batch_size, int64_t hidden,
             torch::Device device, const std::vector<std::string>& besides = {}) const;

  /// Likewise the kernel for a continuation by a vocabulary of V.
  bool can_generate(CellKind cell, int64_t batch_size, int64_t hidden, int64_t vocab_size,
                    torch::Device device) const;

  /// Likewise kernels that need no plan, by their names (kernel_name.h). Where there is none it is
  /// no problem: what they do has another way.
  bool have(const std::vector<std::string>& names, torch::Device device) const;

  /// A device's limits; those of none where it has no kernels.
  cuda::GpuLimits limits(torch::Device device) const;

  /// What first kept a layer's kernels for a device from being compiled or loaded, as far as it was
  /// tried; empty if nothing did.
  std::string problem(torch::Device device) const;

  /// Throws Error when they cannot be run. The arguments' exchange is the workspace's.
  void run(CellKind cell, cuda::Operands operands, const cuda::ForwardArguments& arguments,
           torch::Device device, Workspace& workspace) const;
  void run(CellKind cell, cuda::Operands operands, const cuda::BackwardArguments& arguments,
           torch::Device device, Workspace& workspace) const;
  void run(CellKind cell, const cuda::GenerateArguments& arguments, torch::Device device,
           Workspace& workspace) const;

  /// One that needs no plan, by `blocks` blocks with so much shared memory.
  template <typename Arguments>
  void run(const std::string& name, const Arguments& arguments, int blocks, int shared_bytes,
           torch::Device device) const {
    static_assert(sizeof(Arguments) <= 4096, "a kernel's parameters take no more");
    launch(name, {.blocks = blocks, .shared_bytes = shared_bytes}, &arguments, device);
  }

  /// The same for one whose arguments have a count of arrivals: it is the workspace's.
  template <typename Arguments>
  void run(const std::string& name, Arguments arguments, int blocks, int shared_bytes,
           torch::Device device, Workspace& workspace) const {
    arguments.arrivals = workspace.arrivals(0, device);
    run(name, arguments, blocks, shared_bytes, device);
  }

  /// Has the work of both done at once, where the device can (SideStream::run).
  void run_beside(const std::function<void()>& aside, const std::function<void()>& here,
                  torch::Device device, Workspace& workspace) const {
    workspace.side_stream(driver_, device).run(aside, here);
  }

  /// How many blocks share so many pieces of work there: `each` for a multiprocessor, or fewer.
  int blocks_for(int64_t pieces, torch::Device device, int each = 1) const;

 private:
  // What a kernel is made ready for.
  struct Task {
    cuda::Work work;
    CellKind cell;
    cuda::Operands operands;
    int64_t batch_size;
    int64_t hidden;
    int device;

    auto operator<=>(const Task&) const = default;
  };
  struct Ready {
    cuda::Plan plan;
    LoadedKernel kernel = nullptr;
  };

  const cuda::GpuLimits& limits_of(torch::Device device) const;
  // Plans, compiles and loads for all of these, side by side, unless that was done before; the
  // named ones only where one of the tasks has a plan, or there are none.
  void prepare(const std::vector<Task>& tasks, const std::vector<std::string>& names,
               torch::Device device) const;
  bool has_loaded(const std::vector<std::string>& names, torch::Device device) const;
  void load(const std::set<std::string>& names, bool are_needed, torch::Device device) const;
  void count_clusters(LoadedKernel kernel, torch::Device device, cuda::GpuLimits& limits) const;
  // What is wrong with it becomes the device's problem, if it is needed.
  template <typename Work>
  void attempt(torch::Device device, bool is_needed, const Work& work) const;
  Ready ready_for(const Task& task, torch::Device device) const;
  void launch(const std::string& name, const KernelLaunch& launch, const void* arguments,
              torch::Device device) const;
  template <typename Arguments>
  void run_work(cuda::Work work, CellKind cell, cuda::Operands operands, Arguments arguments,
                torch::Device device, Workspace& workspace) const;

  const CudaDriver& driver_;
  CompileKernel compile_;
  std::function<void(const std::string&)> notice_;
  std::chrono::milliseconds patience_;

  mutable std::mutex mutex_;  // of all below
  mutable std::map<int, cuda::GpuLimits> limits_;
  // By device and name; null for what could not be compiled or loaded.
  mutable std::map<std::pair<int, std::string>, LoadedKernel> loaded_;
  mutable std::map<Task, std::optional<Ready>> kernels_;  // empty: there is no kernel
  mutable std::map<int, std::string> problems_;
  mutable bool is_told_ = false;
};

}  // namespace unroll
