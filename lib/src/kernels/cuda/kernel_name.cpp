#include "kernels/cuda/kernel_name.h"

namespace unroll::cuda {
namespace {

const char* name_of(CellKind cell) {
  switch (cell) {
    case CellKind::kRnn:
      return "unroll::CellKind::kRnn";
    case CellKind::kRnnRelu:
      return "unroll::CellKind::kRnnRelu";
    case CellKind::kLstm:
      return "unroll::CellKind::kLstm";
    case CellKind::kGruBefore:
      return "unroll::CellKind::kGruBefore";
    case CellKind::kGruAfter:
      break;
  }
  return "unroll::CellKind::kGruAfter";
}

}  // namespace

std::string kernel_name(const Plan& plan, CellKind cell, Work work) {
  std::string name = plan.in_clusters ? "unroll::cuda::cluster_" : "unroll::cuda::grid_";
  name += work == Work::kGenerate   ? "generate<"
          : work == Work::kBackward ? "layer<unroll::cuda::BackwardArguments, "
                                    : "layer<unroll::cuda::ForwardArguments, ";
  name += name_of(cell);
  for (const int constant : {plan.in_clusters ? plan.most_hidden : plan.columns, plan.S}) {
    name += ", ";
    name += std::to_string(constant);
  }
  if (work != Work::kGenerate) {
    name += plan.operands == Operands::kBf16 ? ", unroll::cuda::Operands::kBf16"
                                             : ", unroll::cuda::Operands::kFloat32";
  }
  return name + ">";
}

}  // namespace unroll::cuda
