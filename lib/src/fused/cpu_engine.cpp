#include <algorithm>
#include <span>

#include "fused/engine.h"
#include "fused/language_model_node.h"
#include "fused/layout.h"
#include "kernels/cpu/decoder.h"
#include "kernels/cpu/matrices/rows.h"
#include "models/arguments.h"

namespace unroll {
namespace {

using cpu::LanguageModelPass;

// How many bf16 stand for a value in the CPU kernels' products; 0: float32.
int parts_of(Precision precision) {
  return precision == Precision::kFp32 ? 0 : precision == Precision::kBf16 ? 1 : 2;
}

// Over weights that are packed once.
class CpuDecoder : public Decoder {
 public:
  CpuDecoder(const Layout& layout, at::TensorList weights, int64_t batch_size)
      : decoder_(layout.cell, batch_size, parameters_of(layout, weights)),
        vocab_size_(weights.back().numel()),
        logits_(static_cast<std::size_t>(batch_size * vocab_size_)) {}

  std::span<const float> step(std::span<const int64_t> tokens) override {
    check_step(tokens, static_cast<int64_t>(logits_.size()) / vocab_size_, vocab_size_);
    const auto& logits = decoder_.step(tokens);
    cpu::copy_rows_out(logits, 0, logits.rows(), vocab_size_, logits_.data());
    return logits_;
  }

 private:
  cpu::Decoder decoder_;
  int64_t vocab_size_;
  std::vector<float> logits_;
};

// The memory of a pass serves again once the graph that was computed in it is gone.
class Passes {
 public:
  Passes(CellKind cell, int64_t layers, int64_t hidden, int parts)
      : cell_(cell), layers_(layers), hidden_(hidden), parts_(parts) {}

  std::shared_ptr<LanguageModelPass> take() {
    const auto free = std::find_if(passes_.begin(), passes_.end(),
                                   [](const auto& pass) { return pass.use_count() == 1; });
    if (free != passes_.end()) {
      return *free;
    }
    passes_.push_back(std::make_shared<LanguageModelPass>(cell_, layers_, hidden_, parts_));
    return passes_.back();
  }

 private:
  CellKind cell_;
  int64_t layers_;
  int64_t hidden_;
  int parts_;
  std::vector<std::shared_ptr<LanguageModelPass>> passes_;
};

class CpuEngine : public Engine {
 public:
  CpuEngine(SequenceModel& model, const ModelConfig& config, const Compute& compute)
      : model_(model),
        layout_(layout_of(config)),
        hidden_(config.hidden),
        dropout_(config.dropout),
        generator_(compute.generator),
        precision_(compute.precision),
        passes_(layout_.cell, layout_.layers, config.hidden, parts_of(precision_)) {}

  Backend backend() const override { return Backend::kFused; }

  std::optional<Precision> precision(int64_t /*batch_size*/,
                                     at::TensorList tensors) const override {
    return all_float_on_cpu(tensors) ? std::optional(precision_) : std::nullopt;
  }

  std::pair<torch::Tensor, State> run(const std::vector<torch::Tensor>& tensors, const Batch& batch,
                                      const State& state) override {
    check_states(layout_, state, batch.X.size(0), hidden_, tensors.front());
    check_weight_count(layout_, tensors.size() - state.size());
    const auto call = c10::make_intrusive<LanguageModelCall>();
    call->layout = layout_;
    call->pass = passes_.take();
    call->dropout = model_.is_training() ? dropout_ : 0;
    call->generator = generator_;
    call->tokens = batch.X.t().contiguous();
    call->labels = batch.Y.defined() ? batch.Y.t().contiguous() : batch.Y;
    return unroll::run(call, tensors);
  }

  std::unique_ptr<Decoder> make_decoder(int64_t batch_size) override {
    const auto weights = values(model_.weights());
    return all_float_on_cpu(weights) ? std::make_unique<CpuDecoder>(layout_, weights, batch_size)
                                     : nullptr;
  }

 private:
  SequenceModel& model_;
  Layout layout_;
  int64_t hidden_;
  double dropout_;
  std::optional<at::Generator> generator_;
  Precision precision_;
  Passes passes_;
};

}  // namespace

std::unique_ptr<Engine> make_cpu_engine(SequenceModel& model, const ModelConfig& config,
                                        const Compute& compute) {
  return std::make_unique<CpuEngine>(model, config, compute);
}

}  // namespace unroll
