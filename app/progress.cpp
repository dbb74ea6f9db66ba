#include "progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <utility>

namespace unroll::app {
namespace {

// 75 -> `1:15`
std::string clock(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 3600) {
    return fmt::format("{}:{:02}", whole / 60, whole % 60);
  }
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

Progress::Progress(bool quiet, int64_t epochs, std::string label)
    : quiet_(quiet),
      terminal_(isatty(STDERR_FILENO) == 1),
      epochs_(epochs),
      label_(std::move(label)) {}

void Progress::restart(std::string label) {
  clear();
  label_ = std::move(label);
  since_start_.start();
  shown_ = false;
}

void Progress::show(const EpochStats& stats) {
  const double interval = terminal_ ? 0.1 : 10;
  const bool due = terminal_ && !shown_ ? true : since_shown_.stop() >= interval;
  if (quiet_ || !due) {
    return;
  }
  const double left = since_start_.stop() / static_cast<double>(stats.epoch) *
                      static_cast<double>(epochs_ - stats.epoch);
  const auto line = fmt::format("{}{}epoch {}/{}  perplexity {:.2f}  {:.0f} tokens/s  {} left",
                                label_, label_.empty() ? "" : "  ", stats.epoch, epochs_,
                                stats.perplexity, stats.tokens_per_second, clock(left));
  if (terminal_) {
    fmt::print(stderr, "\r{}\x1b[K", line);
    on_screen_ = true;
  } else {
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
  shown_ = true;
  since_shown_.start();
}

void Progress::clear() {
  if (on_screen_) {
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
    on_screen_ = false;
  }
}

}  // namespace unroll::app
