#include <algorithm>
#include <span>

#include "fused/engine.h"
#include "fused/language_model_node.h"
#include "kernels/cpu/decoder.h"
#include "kernels/cpu/matrices/rows.h"
#include "layers/cpu_layers.h"
#include "layers/layout.h"
#include "layers/pool.h"
#include "layers/tensor_pointers.h"
#include "models/arguments.h"

namespace unroll {
namespace {

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

class CpuEngine : public Engine {
 public:
  CpuEngine(SequenceModel& model, const ModelConfig& config, const Compute& compute)
      : model_(model),
        layout_(layout_of(config)),
        hidden_(config.hidden),
        dropout_(config.dropout),
        generator_(compute.generator),
        precision_(compute.precision),
        passes_([layout = layout_, hidden = hidden_, parts = bf16_parts(precision_)] {
          return std::make_shared<cpu::LanguageModelPass>(layout.cell, layout.layers, hidden,
                                                          parts);
        }) {}

  Backend backend() const override { return Backend::kFused; }

  std::optional<Precision> precision(int64_t /*batch_size*/,
                                     at::TensorList tensors) const override {
    return all_float_on_cpu(tensors) ? std::optional(precision_) : std::nullopt;
  }

  std::pair<torch::Tensor, State> run(const std::vector<torch::Tensor>& tensors, const Batch& batch,
                                      const State& state,
                                      const GradientCallback& on_gradient) override {
    check_states(layout_, state, batch.X.size(0), hidden_, tensors.front());
    check_weight_count(layout_, tensors.size() - state.size());
    const auto call = c10::make_intrusive<LanguageModelCall>();
    call->layout = layout_;
    call->pass = passes_.take();
    call->dropout = model_.is_training() ? dropout_ : 0;
    call->generator = generator_;
    call->tokens = batch.X.t().contiguous();
    call->on_gradient = on_gradient;
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
  // The memory of a pass serves again once the graph that was computed in it is gone.
  Pool<cpu::LanguageModelPass> passes_;
};

}  // namespace

std::unique_ptr<Engine> make_cpu_engine(SequenceModel& model, const ModelConfig& config,
                                        const Compute& compute) {
  return std::make_unique<CpuEngine>(model, config, compute);
}

}  // namespace unroll
