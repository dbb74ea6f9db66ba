#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "unroll/error.h"
#include "unroll/evaluate.h"
#include "unroll/vocab.h"

namespace unroll {

// Each state is a set of spans of the sample that end at the same places; reading a token leads to
// the state of the span that is longer by it.
class CopiedSpanFinder::Automaton {
  using Edges = std::vector<std::pair<int64_t, int32_t>>;  // by token

  template <typename E>
  static auto lower_bound(E& edges, int64_t token) {
    return std::lower_bound(edges.begin(), edges.end(), token,
                            [](const auto& edge, int64_t t) { return edge.first < t; });
  }

 public:
  static constexpr int32_t kNone = -1;
  static constexpr int32_t kRoot = 0;

  explicit Automaton(std::span<const int64_t> sample) {
    states_.reserve(2 * sample.size() + 1);
    states_.emplace_back();
    for (const int64_t token : sample) {
      append(token);
    }
  }

  int32_t next(int32_t state, int64_t token) const {
    const auto& edges = states_[static_cast<std::size_t>(state)].edges;
    const auto at = lower_bound(edges, token);
    return at != edges.end() && at->first == token ? at->second : kNone;
  }

  // The state of the longest proper suffixes that end at more places; kNone at the root.
  int32_t suffix(int32_t state) const { return at(state).suffix; }

  // Of the longest of the state's spans.
  int64_t length(int32_t state) const { return at(state).length; }

  // Where the state's spans end first in the sample: the position of their last token.
  int64_t end(int32_t state) const { return at(state).end; }

 private:
  struct State {
    Edges edges;
    int32_t suffix = kNone;
    int64_t length = 0;
    int64_t end = -1;
  };

  State& at(int32_t state) { return states_[static_cast<std::size_t>(state)]; }
  const State& at(int32_t state) const { return states_[static_cast<std::size_t>(state)]; }

  int32_t add(State state) {
    states_.push_back(std::move(state));
    return static_cast<int32_t>(states_.size() - 1);
  }

  void set_next(int32_t state, int64_t token, int32_t target) {
    auto& edges = at(state).edges;
    const auto place = lower_bound(edges, token);
    if (place != edges.end() && place->first == token) {
      place->second = target;
    } else {
      edges.insert(place, {token, target});
    }
  }

  // All of the sample so far, longer by one token.
  void append(int64_t token) {
    const int64_t length = at(whole_).length + 1;
    const int32_t longer = add({.edges = {}, .suffix = kRoot, .length = length, .end = length - 1});
    int32_t state = std::exchange(whole_, longer);
    for (; state != kNone && next(state, token) == kNone; state = suffix(state)) {
      set_next(state, token, longer);
    }
    if (state != kNone) {
      at(longer).suffix = split(state, token);
    }
  }

  // The state of exactly the spans that `state` and `token` make: where longer spans share it, they
  // end at fewer places from now on and the shorter ones move into a state of their own.
  int32_t split(int32_t state, int64_t token) {
    const int32_t shared = next(state, token);
    if (length(shared) == length(state) + 1) {
      return shared;
    }
    State copy = at(shared);
    copy.length = length(state) + 1;
    const int32_t own = add(std::move(copy));
    at(shared).suffix = own;
    for (; state != kNone && next(state, token) == shared; state = suffix(state)) {
      set_next(state, token, own);
    }
    return own;
  }

  std::vector<State> states_;
  int32_t whole_ = kRoot;
};

CopiedSpanFinder::CopiedSpanFinder(std::span<const int64_t> sample) {
  constexpr std::size_t kTooMany = std::size_t{1} << 30U;  // two states for each, at most
  if (sample.size() >= kTooMany) {
    throw Error(
        formatted("a sample must have less than {} tokens, got {}", kTooMany, sample.size()));
  }
  automaton_ = std::make_unique<Automaton>(sample);
}

CopiedSpanFinder::~CopiedSpanFinder() = default;

void CopiedSpanFinder::feed(std::span<const int64_t> source) {
  for (const int64_t token : source) {
    if (token == Vocab::unk()) {
      state_ = Automaton::kRoot;
      length_ = 0;
      ++position_;
      continue;
    }
    int32_t next = automaton_->next(state_, token);
    while (next == Automaton::kNone && state_ != Automaton::kRoot) {
      state_ = automaton_->suffix(state_);
      length_ = automaton_->length(state_);
      next = automaton_->next(state_, token);
    }
    if (next != Automaton::kNone) {
      state_ = next;
      ++length_;
    }
    ++position_;
    if (length_ > longest_.length) {
      longest_ = {.length = length_,
                  .sample_start = automaton_->end(state_) + 1 - length_,
                  .source_start = position_ - length_};
    }
  }
}

}  // namespace unroll
