#include "unroll/tensors.h"

#include <algorithm>
#include <iterator>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {

const torch::Tensor& tensor_named(const NamedTensors& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& t) { return t.name == name; });
  if (found == tensors.end()) {
    throw Error(formatted("there is no tensor {}", name));
  }
  return found->tensor;
}

std::vector<torch::Tensor> values(const NamedTensors& tensors) {
  std::vector<torch::Tensor> result;
  result.reserve(tensors.size());
  std::transform(tensors.begin(), tensors.end(), std::back_inserter(result),
                 [](const NamedTensor& t) { return t.tensor; });
  return result;
}

State detach(const State& state) {
  State result;
  result.reserve(state.size());
  std::transform(state.begin(), state.end(), std::back_inserter(result),
                 [](const torch::Tensor& s) { return s.detach(); });
  return result;
}

}  // namespace unroll
