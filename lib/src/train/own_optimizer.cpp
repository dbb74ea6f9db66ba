#include "train/own_optimizer.h"

#include <torch/serialize/input-archive.h>
#include <torch/serialize/output-archive.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <string>
#include <utility>

#include "base/formatted.h"
#include "base/message_of.h"
#include "unroll/error.h"

namespace unroll {
namespace {

constexpr const char* kName = "optimizer";

}  // namespace

OwnOptimizer::OwnOptimizer(std::vector<torch::Tensor> weights, const UpdaterOptions& options)
    : weights_(std::move(weights)), optimizer_(options.own(weights_)), lr_(options.lr) {
  if (!optimizer_) {
    throw UsageError("the function that makes the optimizer must make one, got null");
  }
  for (const auto& group : optimizer_->param_groups()) {
    own_lrs_.push_back(group.options().get_lr());
  }
}

// Of all weights, as the norm that is clipped is: also of those that the optimizer was not given.
void OwnOptimizer::zero_grad() {
  for (auto& weight : weights_) {
    weight.mutable_grad().reset();
  }
}

void OwnOptimizer::set_lr(double lr) {
  for (std::size_t i = 0; i < own_lrs_.size(); ++i) {
    optimizer_->param_groups()[i].options().set_lr(own_lrs_[i] * (lr / lr_));
  }
}

NamedTensors OwnOptimizer::state() const {
  torch::serialize::OutputArchive archive;
  optimizer_->save(archive);
  std::ostringstream stream;
  archive.save_to(stream);
  const auto bytes = stream.str();
  auto tensor = torch::empty(static_cast<int64_t>(bytes.size()), torch::kUInt8);
  std::copy(bytes.begin(), bytes.end(), tensor.data_ptr<uint8_t>());
  return {{kName, tensor}};
}

void OwnOptimizer::load_state(const NamedTensors& state) {
  const auto& bytes = tensor_named(state, kName);
  if (state.size() != 1 || bytes.scalar_type() != torch::kUInt8 || bytes.dim() != 1) {
    throw Error(
        formatted("the optimizer's state must be one row of bytes, got {} tensors", state.size()));
  }
  try {
    const auto* first = bytes.const_data_ptr<uint8_t>();
    std::istringstream stream(std::string(first, first + bytes.numel()));
    torch::serialize::InputArchive archive;
    archive.load_from(stream);
    optimizer_->state().clear();
    optimizer_->load(archive);
  } catch (const std::exception& error) {
    throw Error(formatted("the optimizer's state cannot be read: {}", message_of(error)));
  }
}

}  // namespace unroll
