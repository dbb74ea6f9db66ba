#include "cli/plot.h"

#include <cstdio>
#include <utility>

#include "cli/attempt.h"

namespace unroll::app {

void Plot::draw(const std::function<void()>& work) {
  failed_ = failed_ || !attempt(progress_, "the training is not harmed", work);
}

Plot::Plot(const std::string& path, PlotOptions options, Progress& progress)
    : progress_(progress), text_(path == "-") {
  draw([&] { animator_.emplace(text_ ? "" : path, std::move(options)); });
}

void Plot::add(const EpochStats& stats, std::size_t curve) {
  draw([&] { animator_->add(static_cast<double>(stats.epoch), stats.perplexity, curve); });
}

void Plot::finish() {
  draw([&] {
    if (text_) {
      const auto text = animator_->text();
      std::fwrite(text.data(), 1, text.size(), stdout);
    } else {
      animator_->draw();
    }
  });
}

}  // namespace unroll::app
