#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/live_page.h"
#include "cli/options.h"
#include "cli/plot.h"
#include "cli/progress.h"
#include "page/running_page.h"
#include "unroll/train.h"

namespace unroll::app {

/// Shows trainings that run one after the other, as compare and reproduce run them: how far they
/// are, and the curves of the first seed in the plot and on the page that --plot and --report ask
/// for.
class StudyDisplay {
 public:
  /// `title`: of the page while they run; `names`: of the models, each its own; `hint` is added to
  /// the message when they are interrupted.
  StudyDisplay(const Options& options, const std::string& title,
               const std::vector<std::string>& names, const std::string& device,
               std::string hint = "");

  /// Begins a training of the model `name`, one of the names: with the nth of its seeds, from 0,
  /// which is `seed`, until it has so many epochs; `history` are those that it has.
  TrainCallbacks begin(const std::string& name, int64_t nth_seed, uint64_t seed, int64_t epochs,
                       const std::vector<EpochStats>& history = {});

  /// What `work`, which does the trainings, returns. What it throws is put on the page and thrown
  /// on.
  template <typename Work>
  auto run(const Work& work) {
    try {
      return work();
    } catch (const std::exception& error) {
      stop(error.what());
      throw;
    }
  }

  /// Prints the result, finishes the plot, and puts the final page in the place of the curves: all
  /// of them, whichever fails. Throws Error, naming the path, when the page cannot be written, and
  /// std::system_error when the result cannot.
  void show(const std::string& result, const std::function<std::string(const Provenance&)>& page);

 private:
  void stop(const std::string& problem);
  std::string running_page();

  Progress progress_;
  std::string hint_;
  std::optional<Plot> plot_;
  std::optional<LivePage> file_;
  RunningPage page_;
  bool has_begun_ = false;  // what fails before leaves an earlier page as it is
};

}  // namespace unroll::app
