#include "operators/recorded_pass.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <map>
#include <mutex>

namespace unroll {
namespace {

// The passes by the addresses of the tensors that stand for them.
class KeptPasses {
 public:
  at::Tensor keep(const std::shared_ptr<RecordedPass>& pass) {
    const auto place = pass->arguments[0].detach().new_zeros({1}, at::kLong);
    const std::lock_guard lock(mutex_);
    kept_[place.const_data_ptr()] = pass;
    return at::from_blob(
        place.mutable_data_ptr(), {1},
        [this, place, pass](const void* address) { forget(address); }, place.options());
  }
  std::shared_ptr<RecordedPass> find(const at::Tensor& tensor) {
    const std::lock_guard lock(mutex_);
    const auto found = kept_.find(tensor.const_data_ptr());
    return found == kept_.end() ? nullptr : found->second.lock();
  }

 private:
  void forget(const void* address) {
    const std::lock_guard lock(mutex_);
    kept_.erase(address);
  }

  std::mutex mutex_;
  std::map<const void*, std::weak_ptr<RecordedPass>> kept_;
};

KeptPasses& kept_passes() {
  static auto* const all = new KeptPasses;  // the last tensors may outlive all statics
  return *all;
}

}  // namespace

std::shared_ptr<RecordedPass> record_pass(std::string_view name, const at::Tensor& input,
                                          at::TensorList hx, at::TensorList params,
                                          const LayerSettings& settings) {
  // Below autograd no graph would be recorded.
  const auto keys = c10::impl::tls_local_dispatch_key_set();
  const c10::impl::ForceDispatchKeyGuard with_autograd(
      keys.included_, keys.excluded_ - c10::autograd_dispatch_keyset_with_ADInplaceOrView);
  const at::AutoGradMode with_gradients(true);
  auto recorded = std::make_shared<RecordedPass>();
  auto& arguments = recorded->arguments;
  arguments.push_back(input);
  arguments.insert(arguments.end(), hx.begin(), hx.end());
  arguments.insert(arguments.end(), params.begin(), params.end());
  for (auto& argument : arguments) {
    argument = argument.detach().requires_grad_();
  }
  const at::TensorList all(arguments);
  const auto [outputs, h, c] =
      call_layers(name, arguments[0], all.slice(1, hx.size()), all.slice(1 + hx.size()), settings);
  recorded->results = {outputs, h, c};
  return recorded;
}

at::Tensor tensor_of(const std::shared_ptr<RecordedPass>& pass) { return kept_passes().keep(pass); }

std::shared_ptr<RecordedPass> pass_of(const at::Tensor& tensor) {
  return kept_passes().find(tensor);
}

}  // namespace unroll
