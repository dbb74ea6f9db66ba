#include "cli/display.h"

#include <algorithm>
#include <cstdio>

#include "base/atomic_file.h"
#include "cli/message.h"
#include "report/visible_text.h"
#include "unroll/tensors.h"

namespace unroll::app {
namespace {

// As in the notebook a point every `every` epochs, from the first of them; a short run shows all.
int64_t plot_stride_of(const TrainOptions& training) {
  const int64_t stride = training.every > 0 ? training.every : training.epochs;
  return training.epochs > 10 * stride ? stride : 1;
}

std::optional<Plot> make_plot(const Options& options, const TrainOptions& training,
                              Progress& progress, bool is_silent) {
  const bool clear = options.is_set("json") || options.is_set("quiet");
  if (is_silent || !options.has("plot") || (options.path("plot") == "-" && clear)) {
    return std::nullopt;
  }
  PlotOptions plot_options;
  plot_options.xmin = static_cast<double>(plot_stride_of(training));
  plot_options.xmax = static_cast<double>(training.epochs);
  return Plot(options.path("plot"), plot_options, progress);
}

// A line as it is.
void put_raw(const std::string& line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

// A line as its reader may get it.
void put(const std::string& line) { put_raw(shown_on(stdout, line)); }

}  // namespace

Display::Display(const Options& options, const TrainOptions& training, bool is_silent)
    : silent_(is_silent),
      quiet_(is_silent || options.is_set("quiet")),
      json_(options.is_set("json")),
      epochs_(training.epochs),
      plot_stride_(plot_stride_of(training)),
      progress_(quiet_, training.epochs),
      plot_(make_plot(options, training, progress_, is_silent)),
      plot_path_(options.has("plot") ? options.path("plot") : "") {}

void Display::check_plot() const {
  if (plot_ && plot_path_ != "-") {
    check_writable(plot_path_);
  }
}

void Display::show(const std::vector<EpochStats>& history) {
  for (const auto& stats : history) {
    add_point(stats);
  }
}

void Display::show(const EpochStats& stats) {
  add_point(stats);
  progress_.show(stats);
}

void Display::show(const std::string& prediction) {
  if (!quiet_ && !json_) {
    progress_.clear();
    put(prediction);
  }
}

void Display::show(const TrainReport& report) {
  if (silent_) {
    return;
  }
  progress_.clear();
  if (json_) {
    put_raw(to_json(report));
  } else {
    put(summary(report));
    std::for_each(report.result.predictions.begin(), report.result.predictions.end(), put);
  }
  if (plot_) {
    plot_->finish();
  }
}

void Display::note(const std::string& line) {
  if (!quiet_) {
    progress_.clear();
    print_note(visible(line) + "\n");
  }
}

void Display::warn(const std::string& message) {
  if (!quiet_) {
    progress_.clear();
    print_error(message);
  }
}

void Display::add_point(const EpochStats& stats) {
  if (plot_ && (stats.epoch % plot_stride_ == 0 || stats.epoch == epochs_)) {
    plot_->add(stats);
  }
}

}  // namespace unroll::app
