#include "cli/study_display.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/formatted.h"
#include "cli/attempt.h"
#include "cli/message.h"
#include "page/epoch_series.h"
#include "report/visible_text.h"

namespace unroll::app {

StudyDisplay::StudyDisplay(const Options& options, const std::string& title,
                           const std::vector<std::string>& names, const std::string& device,
                           std::string hint)
    : progress_(options.is_set("quiet"), 0), hint_(std::move(hint)) {
  PlotOptions plot_options;
  plot_options.legend.clear();
  plot_options.xmin = 1;
  for (const auto& name : names) {
    page_.curves.push_back({.name = name});
    plot_options.legend.push_back(visible(name));
  }
  if (options.given("plot")) {
    plot_.emplace(options.path("plot"), plot_options, progress_);
  }
  if (const auto path = report_path(options); !path.empty()) {
    file_.emplace(path);
    page_.title = title;
    page_.provenance = provenance_of(options, device);
  }
}

TrainCallbacks StudyDisplay::begin(const std::string& name, int64_t nth_seed, uint64_t seed,
                                   int64_t epochs, const std::vector<EpochStats>& history) {
  const auto label = nth_seed == 0 ? name : formatted("{}, seed {}", name, seed);
  const auto status = [this, label, epochs](int64_t done) {
    page_.status = running_status(formatted("Training {}", label), done, epochs, now_in_utc());
  };
  const auto at = std::find_if(page_.curves.begin(), page_.curves.end(),
                               [&](const Series& curve) { return curve.name == name; });
  const auto curve = static_cast<std::size_t>(std::distance(page_.curves.begin(), at));
  progress_.restart(label, epochs);
  if (nth_seed == 0) {
    *at = perplexity_series(name, history);
  }
  status(static_cast<int64_t>(history.size()));
  if (!has_begun_) {
    has_begun_ = true;
    write_page();
  }
  auto callbacks = callbacks_of(progress_, hint_);
  callbacks.on_epoch = [=, this](const EpochStats& stats) {
    progress_.show(stats);
    if (nth_seed == 0) {
      add(stats, curve);
    }
    status(stats.epoch);
    if (file_ && file_->is_due()) {
      write_page();
    }
  };
  return callbacks;
}

void StudyDisplay::add(const EpochStats& stats, std::size_t curve) {
  if (plot_) {
    plot_->add(stats, curve);
  }
  if (std::isfinite(stats.perplexity)) {
    page_.curves[curve].x.push_back(static_cast<double>(stats.epoch));
    page_.curves[curve].y.push_back(stats.perplexity);
  }
}

void StudyDisplay::show(const std::string& result,
                        const std::function<std::string(const Provenance&)>& page) {
  progress_.clear();
  print_text(stdout, result);
  if (plot_) {
    plot_->finish();
  }
  if (file_) {
    file_->write(page(page_.provenance));
  }
}

void StudyDisplay::stop(const std::string& problem) {
  if (has_begun_) {
    page_.runs = false;
    page_.status = status_line(formatted("Stopped: {}", problem));
    write_page();
  }
}

void StudyDisplay::write_page() {
  if (file_ && !attempt(progress_, "the training continues without it",
                        [&] { file_->write(to_html(page_)); })) {
    file_.reset();
  }
}

}  // namespace unroll::app
