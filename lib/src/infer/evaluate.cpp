#include "unroll/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "base/fields.h"
#include "base/formatted.h"
#include "infer/vocab_fits.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// Rows that stand side by side in the corpus, `length` tokens each, read from a common state on.
class RowReader {
 public:
  RowReader(SequenceModel& net, const torch::Tensor& corpus, const SurpriseCallback& on_surprise)
      : net_(net), corpus_(corpus), on_surprise_(on_surprise) {}

  // Reads the rows that begin at `first`, T tokens at a time, and returns the state at their ends.
  State read(int64_t first, int64_t rows, int64_t length, int64_t num_steps, State state) {
    const auto X = corpus_.narrow(0, first, rows * length).view({rows, length});
    const auto Y = corpus_.narrow(0, first + 1, rows * length).view({rows, length});
    for (int64_t t = 0; t < length; t += num_steps) {
      const int64_t T = std::min(num_steps, length - t);
      const auto nats = surprise(X.narrow(1, t, T), Y.narrow(1, t, T), state);
      for (int64_t row = 0; row < rows; ++row) {
        add(first + row * length + t + 1,
            {nats.const_data_ptr<float>() + row * T, static_cast<std::size_t>(T)});
      }
    }
    return state;
  }

  const Evaluation& sum() const { return sum_; }

 private:
  // (B,T) float32 on the CPU, of the labels; moves the state on.
  torch::Tensor surprise(const torch::Tensor& X, const torch::Tensor& Y, State& state) {
    const auto on_device = [&](const torch::Tensor& indices) {
      return indices.to(net_.device(), torch::kInt64);
    };
    auto [logits, after] = net_.forward(on_device(X), state);
    state = std::move(after);
    const auto labels = on_device(Y).t().reshape({-1});
    return torch::cross_entropy_loss(logits.to(torch::kFloat32), labels, {}, at::Reduction::None)
        .view({Y.size(1), Y.size(0)})
        .t()
        .to(torch::kCPU)
        .contiguous();
  }

  void add(int64_t first, std::span<const float> nats) {
    for (std::size_t k = 0; k < nats.size(); ++k) {
      if (!std::isfinite(nats[k])) {
        throw Error(
            formatted("the model's logits for token {} of the text are not finite; its "
                      "training has diverged",
                      first + static_cast<int64_t>(k)));
      }
      sum_.nats += static_cast<double>(nats[k]);
    }
    sum_.tokens += static_cast<int64_t>(nats.size());
    if (on_surprise_) {
      on_surprise_(first, nats);
    }
  }

  SequenceModel& net_;
  const torch::Tensor& corpus_;
  const SurpriseCallback& on_surprise_;
  Evaluation sum_;
};

}  // namespace

double perplexity(double nats, int64_t tokens) {
  return std::exp(nats / static_cast<double>(tokens));
}

void check(const EvaluateOptions& options) { check_ranges(options); }

double Evaluation::perplexity() const { return unroll::perplexity(nats, tokens); }

double Evaluation::nats_per_token() const { return nats / static_cast<double>(tokens); }

double Evaluation::bits_per_token() const { return nats_per_token() / std::numbers::ln2; }

Evaluation evaluate(SequenceModel& net, const torch::Tensor& corpus, const EvaluateOptions& options,
                    const SurpriseCallback& on_surprise) {
  check(options);
  check_corpus_fits(net, corpus);
  const int64_t predicted = corpus.numel() - 1;
  if (predicted < 1) {
    throw Error(formatted(
        "the text must have at least 2 tokens, of which all but the first are predicted, got {}",
        corpus.numel()));
  }
  const Inference inference(net);
  const int64_t B = std::min(options.batch_size, predicted);
  const int64_t length = predicted / B;
  RowReader reader(net, corpus, on_surprise);
  State state = reader.read(0, B, length, options.num_steps, net.begin_state(B));
  if (const int64_t rest = predicted - B * length; rest > 0) {
    for (auto& s : state) {
      s = s.narrow(-2, B - 1, 1).contiguous();
    }
    reader.read(B * length, 1, rest, options.num_steps, std::move(state));
  }
  return reader.sum();
}

int64_t default_batch_size(int64_t tokens) {
  constexpr int64_t kTokensPerRow = 4096;
  return std::clamp<int64_t>(tokens / kTokensPerRow, 1, EvaluateOptions{}.batch_size);
}

}  // namespace unroll
