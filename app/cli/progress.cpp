#include "cli/progress.h"

#include <cmath>

#include "base/formatted.h"
#include "cli/message.h"
#include "report/visible_text.h"

namespace unroll::app {
namespace {

// 75 -> `1:15`
std::string clock(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 3600) {
    return formatted("{}:{:02}", whole / 60, whole % 60);
  }
  return formatted("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

Progress::Progress(bool quiet, int64_t epochs)
    : silent_(quiet || !is_terminal(stderr)), epochs_(epochs) {}

void Progress::restart(const std::string& label, int64_t epochs) {
  clear();
  label_ = visible(label) + "  ";
  epochs_ = epochs;
  seconds_ = 0;
  shown_epochs_ = 0;
}

void Progress::show(const ReadProgress& read) {
  constexpr double kLongSeconds = 1;
  const double seconds = since_epoch_.stop();
  if (seconds < kLongSeconds || !is_due()) {
    return;
  }
  const auto megabytes = static_cast<double>(read.bytes) / 1e6;
  const auto how_far = read.total_bytes > 0
                           ? formatted("{:.0f}%", 100.0 * static_cast<double>(read.bytes) /
                                                      static_cast<double>(read.total_bytes))
                           : formatted("{:.0f} MB", megabytes);
  print(formatted("reading {}  {}  {:.0f} MB/s", visible(read.name), how_far, megabytes / seconds));
}

void Progress::show(const EpochStats& stats) {
  seconds_ += stats.seconds;
  ++shown_epochs_;
  since_epoch_.start();
  if (!is_due()) {
    return;
  }
  const double left =
      seconds_ / static_cast<double>(shown_epochs_) * static_cast<double>(epochs_ - stats.epoch);
  const auto valid = stats.valid_perplexity
                         ? formatted("  validation {:.2f}", *stats.valid_perplexity)
                         : std::string();
  print(formatted("{}epoch {}/{}  perplexity {:.2f}{}  {:.0f} tokens/s  {} left", label_,
                  stats.epoch, epochs_, stats.perplexity, valid, stats.tokens_per_second,
                  clock(left)));
}

void Progress::show(const TrainProgress& progress, int64_t batches) {
  // A short epoch's own line says enough.
  constexpr double kLongSeconds = 2;
  if (progress.batch < batches && since_epoch_.stop() > kLongSeconds && is_due()) {
    print(formatted("{}epoch {}/{}  batch {}/{}", label_, progress.epoch + 1, epochs_,
                    progress.batch, batches));
  }
}

bool Progress::is_due() const {
  constexpr double kSecondsBetween = 0.1;
  return !silent_ && (!shown_ || since_shown_.stop() >= kSecondsBetween);
}

void Progress::print(const std::string& line) {
  print_note(formatted("\r{}\x1b[K", line));
  on_screen_ = true;
  shown_ = true;
  since_shown_.start();
}

void Progress::clear() {
  if (on_screen_) {
    print_note("\r\x1b[K");
    on_screen_ = false;
  }
}

}  // namespace unroll::app
