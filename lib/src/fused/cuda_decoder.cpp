#include "fused/cuda_decoder.h"

#include <cstddef>

#include "base/formatted.h"
#include "kernels/cuda/kernel_name.h"
#include "layers/tensor_pointers.h"
#include "models/arguments.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// A text that is shown as it grows grows by so many tokens at once.
constexpr int64_t kStepsAtOnce = 64;

// (T,B), the first step's being tokens.
void check_fed(std::span<const int64_t> fed, std::size_t batch_size, int64_t vocab_size) {
  if (fed.empty() || fed.size() % batch_size != 0) {
    throw Error(
        formatted("steps of {} tokens are to be fed, got {} tokens", batch_size, fed.size()));
  }
  check_tokens(fed.first(batch_size), vocab_size);
  for (const auto& token : fed.subspan(batch_size)) {
    if (token != -1) {
      check_tokens({&token, 1}, vocab_size);
    }
  }
}

}  // namespace

bool can_decode(const CudaKernels& kernels, const Layout& layout, at::TensorList weights,
                int64_t batch_size) {
  return layout.layers == 1 && kernels.have({cuda::kCopyMatrices}, weights.back().device()) &&
         kernels.can_generate(layout.cell, batch_size, hidden_of(layout, weights),
                              weights.back().numel(), weights.back().device());
}

CudaDecoder::CudaDecoder(const CudaKernels& kernels, const Layout& layout, SequenceModel& model,
                         int64_t batch_size)
    : ForwardDecoder(model, batch_size),
      kernels_(kernels),
      cell_(layout.cell),
      batch_size_(batch_size) {
  const torch::NoGradGuard no_grad;
  const auto weights = values(model.weights());
  hidden_ = hidden_of(layout, weights);
  vocab_size_ = weights.back().numel();
  MatrixCopies copies;
  layer_ =
      pack_layer(layout, weights_of_layer(layout, weights, 0), hidden_, {.tokens = true}, copies);
  copies.run(kernels, weights.back().device());
  const auto& W_hq = weights[weights.size() - 2];
  output_weights_ = (layout.concise ? W_hq.t() : W_hq).contiguous();
  output_bias_ = weights.back().contiguous();
  check_shape(layer_.W_x, {vocab_size_, gate_count(cell_) * hidden_},
              "what is looked up for the tokens");
  check_shape(output_weights_, {hidden_, vocab_size_}, "the output layer's weights");
}

int64_t CudaDecoder::steps_at_once() const { return kStepsAtOnce; }

std::vector<int64_t> CudaDecoder::most_likely(std::span<const int64_t> fed,
                                              std::optional<int64_t> never) {
  const auto B = static_cast<std::size_t>(batch_size_);
  check_fed(fed, B, vocab_size_);
  const Inference inference(model());
  const int64_t T = static_cast<int64_t>(fed.size()) / batch_size_;
  const auto device = layer_.W_x.device();
  const auto tokens =
      torch::tensor(at::IntArrayRef(fed.data(), fed.size()), torch::kInt64).to(device);
  auto taken = torch::empty({T, batch_size_}, tokens.options());
  std::vector<torch::Tensor> before;
  std::vector<torch::Tensor> after;
  for (const auto& s : state()) {
    before.push_back(s.contiguous());
    after.push_back(torch::empty_like(before.back()));
  }
  const bool has_c = after.size() > 1;
  kernels_.run(
      cell_,
      cuda::GenerateArguments{.steps = T,
                              .batch_size = batch_size_,
                              .hidden = hidden_,
                              .vocab_size = vocab_size_,
                              .x = read(layer_.W_x),
                              .W_h = read(layer_.W_h),
                              .b_hh = read(layer_.b_hh),
                              .W_hq = read(output_weights_),
                              .b_q = read(output_bias_),
                              .fed = tokens.const_data_ptr<int64_t>(),
                              .never = never.value_or(-1),
                              .h_before = read(before[0]),
                              .c_before = has_c ? read(before[1]) : nullptr,
                              .h_after = after[0].mutable_data_ptr<float>(),
                              .c_after = has_c ? after[1].mutable_data_ptr<float>() : nullptr,
                              .taken = taken.mutable_data_ptr<int64_t>(),
                              .exchange = {}},
      device, workspace_);
  state() = after;
  const auto result = taken.to(torch::kCPU);
  const auto* first = result.const_data_ptr<int64_t>();
  std::vector<int64_t> tokens_taken(first, first + result.numel());
  for (std::size_t i = B; i < fed.size(); ++i) {
    if (fed[i] >= 0) {
      tokens_taken[i - B] = -1;  // nobody asked
    }
  }
  return tokens_taken;
}

}  // namespace unroll
