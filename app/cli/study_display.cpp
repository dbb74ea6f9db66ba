#include "cli/study_display.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/formatted.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/report_file.h"
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
    page_.models.push_back({name, {}});
    plot_options.legend.push_back(visible(name));
  }
  if (options.given("plot")) {
    plot_.emplace(options.path("plot"), plot_options, progress_);
  }
  if (const auto path = report_path(options); !path.empty()) {
    file_.emplace(path, progress_);
    page_.title = title;
    page_.provenance = provenance_of(options, device);
  }
}

TrainCallbacks StudyDisplay::begin(const std::string& name, int64_t nth_seed, uint64_t seed,
                                   int64_t epochs, const std::vector<EpochStats>& history) {
  const auto at = std::find_if(page_.models.begin(), page_.models.end(),
                               [&](const auto& model) { return model.first == name; });
  const auto curve = static_cast<std::size_t>(std::distance(page_.models.begin(), at));
  page_.training = nth_seed == 0 ? name : formatted("{}, seed {}", name, seed);
  page_.done = static_cast<int64_t>(history.size());
  page_.epochs = epochs;
  if (nth_seed == 0) {
    at->second = history;
  }
  progress_.restart(page_.training, epochs);
  if (file_ && (!has_begun_ || file_->is_due())) {
    file_->update(running_page());
  }
  has_begun_ = true;
  TrainCallbacks callbacks;
  callbacks.on_batch = [this](const TrainProgress& progress, int64_t batches) {
    if (is_interrupted()) {
      throw Interrupted(interruption(progress) + hint_);
    }
    progress_.show(progress, batches);
  };
  callbacks.on_graph_fallback = [this](const std::string& reason) {
    progress_.clear();
    print_error(without_graph(reason));
  };
  callbacks.on_epoch = [=, this](const EpochStats& stats) {
    progress_.show(stats);
    page_.done = stats.epoch;
    if (nth_seed == 0) {
      page_.models[curve].second.push_back(stats);
      if (plot_) {
        plot_->add(stats, curve);
      }
    }
    if (file_ && file_->is_due()) {
      file_->update(running_page());
    }
  };
  return callbacks;
}

void StudyDisplay::show(const std::string& result,
                        const std::function<std::string(const Provenance&)>& page) {
  std::exception_ptr unprinted;
  progress_.clear();
  try {
    print_text(stdout, result);
  } catch (const std::exception&) {
    unprinted = std::current_exception();
  }
  if (plot_) {
    plot_->finish();
  }
  if (file_) {
    file_->write(page(page_.provenance));
  }
  if (unprinted) {
    std::rethrow_exception(unprinted);
  }
}

void StudyDisplay::stop(const std::string& problem) {
  if (file_ && has_begun_) {
    page_.problem = problem;
    file_->stop(running_page());
  }
}

std::string StudyDisplay::running_page() {
  page_.written_at = now_in_utc();
  return to_html(page_);
}

}  // namespace unroll::app
