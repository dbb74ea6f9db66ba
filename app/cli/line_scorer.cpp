#include "cli/line_scorer.h"

#include <cstdio>

#include "base/formatted.h"
#include "cli/message.h"
#include "unroll/error.h"
#include "unroll/text.h"

namespace unroll::app {

void LineScorer::score_lines_of(const std::filesystem::path& path) {
  const auto name = text_name(path);
  try {
    read_lines(path, nul_bytes_of(as_trained_.text), [&](int64_t number, std::string_view line) {
      ++lines_;
      try {
        add(name, number, line);
      } catch (const InvalidUtf8Error& error) {
        score();
        std::fflush(stdout);
        print_error(formatted("{}: line {}: {}", name, number, error.what()));
        ++failed_;
      }
    });
  } catch (const Error&) {
    score();
    throw;
  }
  score();
}

void LineScorer::check() const {
  if (failed_ > 0) {
    throw Error(formatted("{} of {} could not be scored", failed_, counted(lines_, "line")));
  }
}

void LineScorer::add(const std::string& name, int64_t number, std::string_view line) {
  constexpr std::size_t kLines = 1024;
  constexpr int64_t kTokens = 1 << 20;
  corpora_.push_back(
      torch::tensor(token_indices(line, as_trained_.text, *as_trained_.vocab), torch::kInt32));
  scores_.push_back({.text = name, .line = number, .content = std::string(line)});
  tokens_ += corpora_.back().numel();
  if (scores_.size() == kLines || tokens_ >= kTokens) {
    score();
  }
}

void LineScorer::score() {
  const auto results = evaluate_each(net_, corpora_, rows_);
  for (std::size_t i = 0; i < scores_.size(); ++i) {
    scores_[i].result = results[i];
    printer_.print(scores_[i]);
  }
  corpora_.clear();
  scores_.clear();
  tokens_ = 0;
}

}  // namespace unroll::app
