#include "unroll/seq_data.h"

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/formatted.h"
#include "base/seeded.h"
#include "data/token_row.h"
#include "unroll/corpus.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// Names a batch for so many tokens: `; batch-size 20 fits`.
std::string fitting_batch(int64_t tokens, const DataOptions& options) {
  if (tokens >= options.num_steps) {
    return formatted("; batch-size {} fits", tokens / options.num_steps);
  }
  if (tokens >= 1) {
    return formatted("; batch-size 1 with num-steps {} fits", tokens);
  }
  return options.offset.value_or(0) > 0 ? "; a smaller offset leaves some" : "";
}

}  // namespace

void check(const DataOptions& options) { check_ranges(options); }

void Epoch::check_batch(int64_t k) const {
  if (k < 0 || k >= size_) {
    throw Error(formatted("batch must be in [0, {}), got {}", size_, k));
  }
}

Batch Epoch::operator[](int64_t k) const {
  check_batch(k);
  if (batch_) {
    auto batch = batch_(k);
    const std::vector<int64_t> sizes{rows_, num_steps_};
    for (const auto& part : {batch.X, batch.Y}) {
      if (!part.defined() || part.sizes() != sizes) {
        throw Error(formatted(
            "batch {} must be X and Y of shape [{}] as the first one's X, got {}", k,
            joined(sizes, ", "),
            part.defined() ? formatted("[{}]", joined(part.sizes(), ", ")) : "no tensor"));
      }
    }
    return batch;
  }
  const auto cut = [&](const torch::Tensor& tokens) {
    if (sampling_ != Sampling::kRandom) {
      return tokens.narrow(1, k * num_steps_, num_steps_).to(torch::kInt64).contiguous();
    }
    const auto starts = starts_[k];
    const auto steps = torch::arange(num_steps_, starts.options());
    return tokens.index_select(0, (starts.unsqueeze(1) + steps).reshape(-1))
        .to(torch::kInt64)
        .reshape({rows_, num_steps_});
  };
  return {cut(inputs_), cut(labels_)};
}

torch::Tensor Epoch::starts() const {
  if (!has_corpus()) {
    throw Error("batches that a function makes start nowhere in a corpus");
  }
  const int64_t first = inputs_.storage_offset() - corpus_.storage_offset();
  if (sampling_ == Sampling::kRandom) {
    return starts_ + first;
  }
  const auto options = torch::dtype(torch::kInt64).device(device());
  const auto rows = torch::arange(rows_, options).mul_(inputs_.stride(0)).add_(first);
  return torch::arange(size_, options).mul_(num_steps_).unsqueeze(1) + rows;
}

Epoch Epoch::shard(int64_t rank, int64_t world) const {
  if (rank < 0 || rank >= world || world > rows_) {
    throw Error(formatted("shard must have 0 <= rank < world <= {} rows, got rank {} of {}", rows_,
                          rank, world));
  }
  Epoch part = *this;
  const int64_t begin = rows_ * rank / world;
  part.rows_ = rows_ * (rank + 1) / world - begin;
  part.first_row_ = first_row_ + begin;
  if (batch_) {
    part.batch_ = [whole = *this, begin, rows = part.rows_](int64_t k) {
      const auto batch = whole[k];
      return Batch{batch.X.narrow(0, begin, rows), batch.Y.narrow(0, begin, rows)};
    };
  } else if (sampling_ == Sampling::kRandom) {
    part.starts_ = starts_.narrow(1, begin, part.rows_);
  } else {
    part.inputs_ = inputs_.narrow(0, begin, part.rows_);
    part.labels_ = labels_.narrow(0, begin, part.rows_);
  }
  return part;
}

SeqDataLoader::SeqDataLoader(const torch::Tensor& corpus, const DataOptions& options,
                             torch::Device device)
    : options_(options), device_(device) {
  check(options);
  check_token_row(corpus);
  const int64_t needed = options.batch_size * options.num_steps + 1 + options.offset.value_or(0);
  if (corpus.size(0) < needed) {
    const std::string offset =
        options.offset.value_or(0) > 0 ? formatted(" after offset {}", *options.offset) : "";
    throw Error(formatted("{}, need at least {} for batch {} x steps {}{}{}",
                          counted(corpus.size(0), "token"), needed, options.batch_size,
                          options.num_steps, offset,
                          fitting_batch(corpus.size(0) - 1 - options.offset.value_or(0), options)));
  }
  corpus_ = corpus.to(device).contiguous();
  device_ = corpus_.device();
}

SeqDataLoader::SeqDataLoader(int64_t batches, BatchFn batch, Sampling sampling)
    : device_(torch::kCPU), batches_(batches), batch_(std::move(batch)) {
  if (batches < 1 || !batch_) {
    throw UsageError(
        formatted("batches of your own are at least 1 and made by a function, got {}{}", batches,
                  batch_ ? "" : " and no function"));
  }
  const auto first = batch_(0, 0).X;
  if (!first.defined() || first.dim() != 2 || first.numel() == 0) {
    throw Error(
        formatted("a batch must be X and Y (B,T), got {}",
                  first.defined() ? formatted("[{}]", joined(first.sizes(), ", ")) : "no tensor"));
  }
  options_ = {.batch_size = first.size(0), .num_steps = first.size(1), .sampling = sampling};
  device_ = first.device();
  static_cast<void>(epoch(0)[0]);  // throws unless the labels fit
}

int64_t SeqDataLoader::num_tokens() const {
  return batch_ ? batches_ * options_.batch_size * options_.num_steps : corpus_.size(0);
}

Epoch SeqDataLoader::epoch(int64_t e) const {
  const int64_t B = options_.batch_size;
  const int64_t T = options_.num_steps;
  const int64_t N = num_tokens();

  Epoch epoch;
  epoch.sampling_ = options_.sampling;
  epoch.device_ = device_;
  epoch.rows_ = B;
  epoch.num_steps_ = T;
  if (batch_) {
    epoch.size_ = batches_;
    epoch.batch_ = std::bind_front(batch_, e);
    return epoch;
  }
  auto random = seeded(options_.seed, {e});
  epoch.corpus_ = corpus_;
  // The notebook drops up to T tokens (sequential) or T-1 (random); a short corpus fewer, so that
  // one batch always remains.
  const int64_t most = std::min(options_.sampling == Sampling::kRandom ? T - 1 : T, N - 1 - B * T);
  epoch.offset_ = options_.offset.value_or(
      std::uniform_int_distribution<int64_t>(0, std::max<int64_t>(most, 0))(random));

  if (options_.sampling == Sampling::kRandom) {
    const int64_t kept = N - epoch.offset_ - 1;
    const auto starts = torch::arange(kept / T, torch::kInt64).mul_(T);
    auto* first = starts.data_ptr<int64_t>();
    std::shuffle(first, first + starts.numel(), random);
    epoch.size_ = starts.numel() / B;
    epoch.starts_ = starts.narrow(0, 0, epoch.size_ * B).view({epoch.size_, B}).to(device());
    epoch.inputs_ = corpus_.narrow(0, epoch.offset_, kept);
    epoch.labels_ = corpus_.narrow(0, epoch.offset_ + 1, kept);
    return epoch;
  }
  const int64_t n = (N - epoch.offset_ - 1) / B * B;
  epoch.inputs_ = corpus_.narrow(0, epoch.offset_, n).view({B, n / B});
  epoch.labels_ = corpus_.narrow(0, epoch.offset_ + 1, n).view({B, n / B});
  epoch.size_ = n / B / T;
  return epoch;
}

std::pair<torch::Tensor, torch::Tensor> hold_out(const torch::Tensor& corpus, double share) {
  if (!(share > 0 && share < 1)) {
    throw UsageError(formatted("the share to hold out must be between 0 and 1, got {}", share));
  }
  check_token_row(corpus);
  const int64_t N = corpus.size(0);
  const auto held = static_cast<int64_t>(std::llround(static_cast<double>(N) * share));
  if (held < 2 || held >= N) {
    throw Error(formatted("{} of {} are {}: at least 2 must be held out, and 1 left", share,
                          counted(N, "token"), held));
  }
  return {corpus.narrow(0, 0, N - held), corpus.narrow(0, N - held, held)};
}

}  // namespace unroll
