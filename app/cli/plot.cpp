#include "cli/plot.h"

#include <cstdio>
#include <utility>

#include "base/formatted.h"
#include "cli/message.h"
#include "unroll/error.h"

namespace unroll::app {

template <typename Draw>
void Plot::attempt(const Draw& draw) {
  if (failed_) {
    return;
  }
  try {
    draw();
  } catch (const Error& error) {
    failed_ = true;
    progress_.clear();
    print_error(formatted("{}; the training is not harmed", error.what()));
  }
}

Plot::Plot(const std::string& path, PlotOptions options, Progress& progress)
    : progress_(progress), text_(path == "-") {
  attempt([&] { animator_.emplace(text_ ? "" : path, std::move(options)); });
}

void Plot::add(const EpochStats& stats, std::size_t curve) {
  attempt([&] { animator_->add(static_cast<double>(stats.epoch), stats.perplexity, curve); });
}

void Plot::finish() {
  attempt([&] {
    if (text_) {
      const auto text = animator_->text();
      std::fwrite(text.data(), 1, text.size(), stdout);
    } else {
      animator_->draw();
    }
  });
}

}  // namespace unroll::app
