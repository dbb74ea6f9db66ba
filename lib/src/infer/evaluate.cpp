#include "unroll/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <exception>
#include <numbers>

#include "base/fields.h"
#include "base/formatted.h"
#include "infer/vocab_fits.h"
#include "ranks/or_alone.h"
#include "unroll/error.h"
#include "unroll/vocab.h"

namespace unroll {
namespace {

constexpr int64_t kMostRows = 32;

// Tokens that are read one after the other from a state of zeros: the corpus' token `first`, and so
// many after it, which are predicted.
struct Row {
  int64_t first = 0;
  int64_t length = 0;
};

// (B,T) float32 on the CPU: the surprise of each label. Moves the state on.
torch::Tensor surprise_of(SequenceModel& net, const torch::Tensor& X, const torch::Tensor& Y,
                          State& state) {
  const auto on_device = [&](const torch::Tensor& indices) {
    return indices.to(net.device(), torch::kInt64);
  };
  auto [logits, after] = net.forward(on_device(X), state);
  state = std::move(after);
  const auto labels = on_device(Y).t().reshape({-1});
  return torch::cross_entropy_loss(logits.to(torch::kFloat32), labels, {}, at::Reduction::None)
      .view({Y.size(1), Y.size(0)})
      .t()
      .to(torch::kCPU)
      .contiguous()
      .abs();  // that of a certain token is -0
}

// Reads rows side by side, num_steps tokens at a time, each to its own end, and calls
// sink(row, first, labels, nats) with the corpus' tokens from `first` on and their surprise. Longer
// rows must come first.
template <typename Sink>
void read_rows(SequenceModel& net, const torch::Tensor& corpus, std::span<const Row> rows,
               int64_t num_steps, const Sink& sink) {
  if (rows.empty()) {
    return;
  }
  auto state = net.begin_state(static_cast<int64_t>(rows.size()));
  auto starts = torch::empty({static_cast<int64_t>(rows.size()), 1}, torch::kInt64);
  std::transform(rows.begin(), rows.end(), starts.mutable_data_ptr<int64_t>(),
                 [](const Row& row) { return row.first; });
  for (int64_t t = 0; !rows.empty();) {
    const auto B = static_cast<int64_t>(rows.size());
    const int64_t T = std::min(num_steps, rows.back().length - t);
    const auto at = (starts + torch::arange(t, t + T)).flatten();
    const auto X = corpus.index_select(0, at).view({B, T});
    const auto Y = corpus.index_select(0, at + 1).to(torch::kInt64).view({B, T});
    const auto nats = surprise_of(net, X, Y, state);
    const auto steps = static_cast<std::size_t>(T);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      sink(row, rows[row].first + t + 1,
           std::span(Y.const_data_ptr<int64_t>() + row * steps, steps),
           std::span(nats.const_data_ptr<float>() + row * steps, steps));
    }
    t += T;
    const auto left =
        std::count_if(rows.begin(), rows.end(), [&](const Row& row) { return row.length > t; });
    if (left < B) {
      rows = rows.first(static_cast<std::size_t>(left));
      starts = starts.narrow(0, 0, left);
      for (auto& s : state) {
        s = s.narrow(-2, 0, left).contiguous();
      }
    }
  }
}

// Adds the surprise of labels, the first of which is the text's token `first`.
void add(Evaluation& sum, int64_t first, std::span<const int64_t> labels,
         std::span<const float> nats) {
  for (std::size_t k = 0; k < nats.size(); ++k) {
    if (!std::isfinite(nats[k])) {
      throw Error(
          formatted("the model's logits for token {} of the text are not finite; its "
                    "training has diverged",
                    first + static_cast<int64_t>(k)));
    }
    const auto surprise = static_cast<double>(nats[k]);
    sum.nats += surprise;
    if (labels[k] == Vocab::unk()) {
      sum.unknown_nats += surprise;
      ++sum.unknown;
    }
  }
  sum.tokens += static_cast<int64_t>(nats.size());
}

// Those that a rank reads; longer ones stay first.
std::vector<Row> rows_of(const Ranks& ranks, const std::vector<Row>& rows) {
  std::vector<Row> own;
  for (auto i = static_cast<std::size_t>(ranks.rank()); i < rows.size();
       i += static_cast<std::size_t>(ranks.world())) {
    own.push_back(rows[i]);
  }
  return own;
}

// What all ranks read. One that could not go on is known to all of them.
Evaluation total(Ranks& ranks, const Evaluation& own, const std::exception_ptr& failure) {
  const auto sums = torch::tensor({own.nats, static_cast<double>(own.tokens), own.unknown_nats,
                                   static_cast<double>(own.unknown), failure ? 1.0 : 0.0},
                                  torch::kFloat64);
  ranks.all_reduce(sums);
  const auto* sum = sums.const_data_ptr<double>();
  if (failure) {
    std::rethrow_exception(failure);
  }
  if (sum[4] > 0) {
    throw Error("another rank cannot go on with its part of the text");
  }
  return {.nats = sum[0],
          .tokens = static_cast<int64_t>(sum[1]),
          .unknown_nats = sum[2],
          .unknown = static_cast<int64_t>(sum[3]),
          .rows = own.rows};
}

}  // namespace

double perplexity(double nats, int64_t tokens) {
  return std::exp(nats / static_cast<double>(tokens));
}

void check(const EvaluateOptions& options) { check_ranges(options); }

double Evaluation::perplexity() const { return unroll::perplexity(nats, tokens); }

double Evaluation::nats_per_token() const { return nats / static_cast<double>(tokens); }

double Evaluation::bits_per_token() const { return nats_per_token() / std::numbers::ln2; }

double Evaluation::known_perplexity() const {
  return unroll::perplexity(nats - unknown_nats, tokens - unknown);
}

Evaluation evaluate(SequenceModel& net, const torch::Tensor& corpus, const EvaluateOptions& options,
                    const SurpriseCallback& on_surprise) {
  check(options);
  const auto ranks = or_alone(options.ranks);
  check_corpus_fits(net, corpus, *ranks);
  const int64_t predicted = corpus.numel() - 1;
  if (predicted < 1) {
    throw Error(formatted(
        "the text must have at least 2 tokens, of which all but the first are predicted, got {}",
        corpus.numel()));
  }
  Evaluation sum;
  sum.rows = std::min(options.batch_size.value_or(default_batch_size(corpus.numel())), predicted);
  const int64_t length = predicted / sum.rows;
  const int64_t last = (sum.rows - 1) * length;
  // What does not fill the rows continues the last one, which is then the longest.
  std::vector<Row> rows{{.first = last, .length = predicted - last}};
  for (int64_t first = 0; first < last; first += length) {
    rows.push_back({.first = first, .length = length});
  }
  const Inference inference(net);
  std::exception_ptr failure;
  try {
    read_rows(net, corpus.to(torch::kCPU), rows_of(*ranks, rows), options.num_steps,
              [&](std::size_t, int64_t first, const auto& labels, const auto& nats) {
                add(sum, first, labels, nats);
                if (on_surprise) {
                  on_surprise(first, nats);
                }
              });
  } catch (...) {
    failure = std::current_exception();
  }
  return total(*ranks, sum, failure);
}

std::vector<Evaluation> evaluate_each(SequenceModel& net, const std::vector<torch::Tensor>& texts,
                                      const EvaluateOptions& options) {
  check(options);
  std::vector<Evaluation> sums(texts.size());
  std::vector<std::size_t> order;  // of the texts with something to predict, longer ones first
  for (std::size_t i = 0; i < texts.size(); ++i) {
    check_corpus_fits(net, texts[i]);
    sums[i].rows = 1;
    if (texts[i].numel() > 1) {
      order.push_back(i);
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return texts[a].numel() > texts[b].numel();
  });
  const Inference inference(net);
  const auto B = static_cast<std::size_t>(options.batch_size.value_or(kMostRows));
  for (std::size_t begin = 0; begin < order.size(); begin += B) {
    const auto together = std::span(order).subspan(begin, std::min(B, order.size() - begin));
    std::vector<torch::Tensor> corpora;
    std::vector<Row> rows;
    int64_t first = 0;
    for (const auto i : together) {
      corpora.push_back(texts[i].to(torch::kCPU, torch::kInt64));
      rows.push_back({.first = first, .length = texts[i].numel() - 1});
      first += texts[i].numel();
    }
    read_rows(net, torch::cat(corpora), rows, options.num_steps,
              [&](std::size_t row, int64_t at, const auto& labels, const auto& nats) {
                add(sums[together[row]], at - rows[row].first, labels, nats);
              });
  }
  return sums;
}

int64_t default_batch_size(int64_t tokens) {
  constexpr int64_t kTokensPerRow = 4096;
  return std::clamp<int64_t>(tokens / kTokensPerRow, 1, kMostRows);
}

}  // namespace unroll
