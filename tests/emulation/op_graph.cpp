#include "emulation/op_graph.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <exception>
#include <map>
#include <utility>

#include "unroll/error.h"

namespace unroll {
namespace {

// A key below those of autograd, so that what is captured is what devices do, and above the CPU's.
// Nothing else uses it.
constexpr auto kKey = c10::DispatchKey::CustomRNGKeyId;

// What is captured is not to be done, but to know the shapes of results it must be: the memory that
// it writes to is put back afterwards.
class Memory {
 public:
  void save(const at::Tensor& tensor) {
    if (!tensor.defined()) {
      return;
    }
    const auto& storage = tensor.storage();
    if (saved_.contains(storage.unsafeGetStorageImpl())) {
      return;
    }
    auto bytes = at::empty({0}, at::kByte).set_(storage);
    saved_.emplace(storage.unsafeGetStorageImpl(), std::pair(bytes, bytes.clone()));
  }
  void restore() const {
    for (const auto& [storage, tensors] : saved_) {
      tensors.first.copy_(tensors.second);
    }
  }

 private:
  std::map<const void*, std::pair<at::Tensor, at::Tensor>> saved_;  // live, copy
};

struct Recording {
  std::vector<OpGraph::Call> calls;
  Memory memory;
};
thread_local Recording* recording = nullptr;

void save_written(const c10::FunctionSchema& schema, const torch::jit::Stack& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto* alias = schema.arguments()[i].alias_info();
    if (alias == nullptr || !alias->isWrite()) {
      continue;
    }
    if (arguments[i].isTensor()) {
      recording->memory.save(arguments[i].toTensor());
    } else if (arguments[i].isTensorList()) {
      for (const auto& tensor : arguments[i].toTensorVector()) {
        recording->memory.save(tensor);
      }
    }
  }
}

// The last values of a stack. LibTorch moves tensors out of the lists there, so these are copied.
torch::jit::Stack last(const torch::jit::Stack& stack, std::size_t count) {
  torch::jit::Stack values(stack.end() - static_cast<std::ptrdiff_t>(count), stack.end());
  for (auto& value : values) {
    if (value.isTensorList()) {
      value = value.toTensorVector();
    }
  }
  return values;
}

void record(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const c10::impl::ExcludeDispatchKeyGuard below(kKey);
  if (operation.schema().name() == "aten::_local_scalar_dense") {
    throw Error("a value was asked for while it was captured");
  }
  OpGraph::Call call{operation, last(*stack, operation.schema().arguments().size()), {}};
  save_written(operation.schema(), call.arguments);
  operation.callBoxed(stack);
  call.results = last(*stack, operation.schema().returns().size());
  recording->calls.push_back(std::move(call));
}

// Operations that are made of others call these, each of which comes here by itself.
bool is_composite(const c10::OperatorHandle& operation) {
  return operation.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
}

// A fallback would come after kernels that serve every device, so each operation is registered.
void register_all() {
  static std::vector<c10::RegistrationHandleRAII> handles;
  if (!handles.empty()) {
    return;
  }
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const auto& name : dispatcher.getAllOpNames()) {
    const auto operation = dispatcher.findOp(name);
    if (operation && operation->hasSchema() && name.name.starts_with("aten::") &&
        !is_composite(*operation)) {
      handles.push_back(
          dispatcher.registerImpl(name, kKey, c10::KernelFunction::makeFromBoxedFunction<&record>(),
                                  std::nullopt, nullptr, "OpGraph"));
    }
  }
}

void assign(const at::Tensor& from, const at::Tensor& to) {
  if (from.defined() && to.defined() && !from.is_alias_of(to)) {
    to.copy_(from);
  }
}

void assign(const c10::IValue& from, const c10::IValue& to) {
  if (to.isTensor()) {
    assign(from.toTensor(), to.toTensor());
  } else if (to.isTensorList()) {
    const auto sources = from.toTensorVector();
    const auto targets = to.toTensorVector();
    for (std::size_t i = 0; i < targets.size(); ++i) {
      assign(sources[i], targets[i]);
    }
  }
}

}  // namespace

void OpGraph::capture(const std::function<void()>& work) {
  register_all();
  ++captures_;
  Recording captured;
  recording = &captured;
  std::exception_ptr failure;
  try {
    const c10::impl::IncludeDispatchKeyGuard include(kKey);
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  recording = nullptr;
  const at::NoGradGuard no_grad;
  captured.memory.restore();
  if (failure) {
    std::rethrow_exception(failure);
  }
  calls_ = std::move(captured.calls);
}

void OpGraph::replay() {
  ++replays_;
  const at::NoGradGuard no_grad;
  const at::AutoDispatchBelowADInplaceOrView below;
  for (const auto& call : calls_) {
    auto stack = call.arguments;
    call.operation.callBoxed(stack);
    for (std::size_t i = 0; i < call.results.size(); ++i) {
      assign(stack[i], call.results[i]);
    }
  }
}

}  // namespace unroll
