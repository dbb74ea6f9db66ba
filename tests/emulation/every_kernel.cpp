#include "emulation/every_kernel.h"

#include <iterator>
#include <type_traits>
#include <utility>

#include "kernels/cuda/kernels.h"

namespace unroll::cuda {
namespace {

template <auto... kValues>
using Constants = std::integer_sequence<std::common_type_t<decltype(kValues)...>, kValues...>;

// Calls use(a constant) for each of these.
template <typename Value, Value... kValues, typename Use>
void for_each(std::integer_sequence<Value, kValues...>, const Use& use) {
  (use(std::integral_constant<Value, kValues>()), ...);
}

template <typename Parameter>
const Parameter& get(std::span<const void* const> parameters, std::size_t i) {
  return *static_cast<const Parameter*>(parameters[i]);
}

class Table {
 public:
  Table() {
    kernels_.emplace(kNoWork, [](auto) { no_work(); });
    add<BatchArguments>(kCutBatch, cut_batch);
    add<CopyArguments>(kCopyMatrices, copy_matrices);
    add<TokenSumsArguments>(kSumByToken, sum_by_token);
    add<OutputArguments>(kOutputLayer, output_layer);
    add<NormArguments>(kNormOfGradients, norm_of_gradients);
    add<UpdateArguments>(update_kernel(UpdateRule::kSgd), update_weights<UpdateRule::kSgd>);
    add<UpdateArguments>(update_kernel(UpdateRule::kAdam), update_weights<UpdateRule::kAdam>);
    add<UpdateArguments>(update_kernel(UpdateRule::kAdamW), update_weights<UpdateRule::kAdamW>);
    for_each(Constants<CellKind::kRnn, CellKind::kRnnRelu, CellKind::kLstm, CellKind::kGruBefore,
                       CellKind::kGruAfter>(),
             [&](auto cell) {
               for_each(Constants<1, 2, 4, 8>(),
                        [&](auto S) { add_sizes<cell(), S(), Operands::kFloat32>(); });
               add_sizes<cell(), kTileSequences, Operands::kBf16>();
             });
  }

  std::map<std::string, EmulatedKernel> take() { return std::move(kernels_); }

 private:
  template <CellKind kCell, int S, Operands kOperands>
  void add_sizes() {
    for_each(std::make_index_sequence<std::size(kClusterSizes)>(), [&](auto size) {
      constexpr int kMostHidden = kClusterSizes[size()];
      if constexpr (has_cluster_kernel(kCell, kMostHidden, kOperands)) {
        add_cluster<kCell, S, kOperands, kMostHidden>();
      }
    });
    for_each(Constants<1, 2>(), [&](auto columns) { add_grid<kCell, S, kOperands, columns()>(); });
  }

  template <CellKind kCell, int S, Operands kOperands, int kHidden>
  void add_cluster() {
    const Plan plan{.operands = kOperands, .in_clusters = true, .S = S, .most_hidden = kHidden};
    add(plan, kCell, Work::kForward, [](auto parameters) {
      cluster_layer<ForwardArguments, kCell, kHidden, S, kOperands>(
          get<ForwardArguments>(parameters, 0), get<int>(parameters, 1));
    });
    add(plan, kCell, Work::kBackward, [](auto parameters) {
      cluster_layer<BackwardArguments, kCell, kHidden, S, kOperands>(
          get<BackwardArguments>(parameters, 0), get<int>(parameters, 1));
    });
    if constexpr (kOperands == Operands::kFloat32) {
      add(plan, kCell, Work::kGenerate, [](auto parameters) {
        cluster_generate<kCell, kHidden, S>(get<GenerateArguments>(parameters, 0),
                                            get<int>(parameters, 1));
      });
    }
  }

  template <CellKind kCell, int S, Operands kOperands, int kColumns>
  void add_grid() {
    const Plan plan{.operands = kOperands, .in_clusters = false, .S = S, .columns = kColumns};
    add(plan, kCell, Work::kForward, [](auto parameters) {
      grid_layer<ForwardArguments, kCell, kColumns, S, kOperands>(
          get<ForwardArguments>(parameters, 0), get<int>(parameters, 1), get<int>(parameters, 2));
    });
    add(plan, kCell, Work::kBackward, [](auto parameters) {
      grid_layer<BackwardArguments, kCell, kColumns, S, kOperands>(
          get<BackwardArguments>(parameters, 0), get<int>(parameters, 1), get<int>(parameters, 2));
    });
    if constexpr (kOperands == Operands::kFloat32) {
      add(plan, kCell, Work::kGenerate, [](auto parameters) {
        grid_generate<kCell, kColumns, S>(get<GenerateArguments>(parameters, 0),
                                          get<int>(parameters, 1), get<int>(parameters, 2));
      });
    }
  }

  template <typename Arguments>
  void add(const char* name, void (*kernel)(Arguments)) {
    kernels_.emplace(name, [kernel](auto parameters) { kernel(get<Arguments>(parameters, 0)); });
  }

  void add(const Plan& plan, CellKind cell, Work work, EmulatedKernel kernel) {
    kernels_.emplace(kernel_name(plan, cell, work), std::move(kernel));
  }

  std::map<std::string, EmulatedKernel> kernels_;
};

}  // namespace

const std::map<std::string, EmulatedKernel>& every_kernel() {
  static const auto all = Table().take();
  return all;
}

}  // namespace unroll::cuda
