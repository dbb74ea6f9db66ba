#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "unroll/error.h"
#include "unroll/vocab.h"

namespace unroll {
namespace {

constexpr auto kUnk = static_cast<std::size_t>(Vocab::unk());
constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

std::span<const int64_t> NGrams::completions(std::span<const int64_t> text) {
  const auto key_at = [&](std::size_t end) {
    const auto run = text.subspan(end - (n_ - 1), n_ - 1);
    return std::u32string(run.begin(), run.end());
  };
  for (; read_ < text.size(); ++read_) {
    if (read_ + 1 >= n_) {
      followers_[key_at(read_)].push_back(text[read_]);
    }
  }
  if (text.size() + 1 < n_) {
    return {};
  }
  const auto found = followers_.find(key_at(text.size()));
  return found == followers_.end() ? std::span<const int64_t>{} : found->second;
}

Sampler::Sampler(const GenerateOptions& options, std::size_t sequence)
    : temperature_(options.temperature),
      top_k_(static_cast<std::size_t>(options.top_k)),
      top_p_(options.top_p),
      take_unk_(options.take_unk) {
  if (options.no_repeat_ngram > 0) {
    ngrams_.emplace(options.no_repeat_ngram);
  }
  if (temperature_ > 0) {
    std::seed_seq seed{options.seed & 0xFFFFFFFFU, options.seed >> 32U,
                       static_cast<uint64_t>(sequence)};
    generator_.seed(seed);
  }
}

std::optional<int64_t> Sampler::operator()(std::span<const float> logits,
                                           std::span<const int64_t> text) {
  // A model hardly ever comes to <unk>, which its training text does not have: first without care.
  if (const bool plain = top_k_ == 0 && top_p_ == 1 && !ngrams_; plain) {
    if (const auto token = take(logits); take_unk_ || token != Vocab::unk()) {
      return token;
    }
  }
  allowed_.assign(logits.begin(), logits.end());
  if (!take_unk_) {
    allowed_[kUnk] = kNever;
  }
  if (ngrams_) {
    for (const int64_t token : ngrams_->completions(text)) {
      allowed_[static_cast<std::size_t>(token)] = kNever;
    }
  }
  return take(allowed_);
}

std::optional<int64_t> Sampler::take(std::span<const float> logits) {
  const auto most = std::max_element(logits.begin(), logits.end());
  if (*most == kNever) {
    return std::nullopt;
  }
  return temperature_ == 0 ? most - logits.begin() : draw(logits, *most);
}

int64_t Sampler::draw(std::span<const float> logits, float most) {
  weights_.resize(logits.size());
  double total = 0;
  for (std::size_t v = 0; v < logits.size(); ++v) {
    const double below = static_cast<double>(logits[v]) - static_cast<double>(most);
    weights_[v] = std::exp(below / temperature_);
    total += weights_[v];
  }
  if (!std::isfinite(total)) {
    throw Error("the model's logits are not finite; its training has diverged");
  }
  if (top_k_ > 0 || top_p_ < 1) {
    keep_likeliest();
    total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  }
  constexpr double kUnit = 0x1p-53;
  double left = static_cast<double>(generator_() >> 11U) * kUnit * total;
  std::size_t last = 0;  // of those that can be drawn
  for (std::size_t v = 0; v < weights_.size(); ++v) {
    if (weights_[v] > 0) {
      last = v;
      left -= weights_[v];
      if (left < 0) {
        break;
      }
    }
  }
  return static_cast<int64_t>(last);
}

// The weights of all but the top_k likeliest tokens, and of these the nucleus, become zero.
void Sampler::keep_likeliest() {
  order_.resize(weights_.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  std::size_t kept = top_k_ == 0 ? order_.size() : std::min(top_k_, order_.size());
  std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(kept),
                    order_.end(), [&](std::size_t a, std::size_t b) {
                      return weights_[a] != weights_[b] ? weights_[a] > weights_[b] : a < b;
                    });
  double total = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    total += weights_[order_[i]];
  }
  double reached = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    reached += weights_[order_[i]];
    if (top_p_ < 1 && reached >= top_p_ * total) {
      kept = i + 1;
    }
  }
  for (std::size_t i = kept; i < order_.size(); ++i) {
    weights_[order_[i]] = 0;
  }
}

}  // namespace unroll
