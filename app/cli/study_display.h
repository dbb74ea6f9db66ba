#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/plot.h"
#include "cli/progress.h"
#include "cli/report_file.h"
#include "page/running_page.h"
#include "unroll/train.h"

namespace unroll::app {

/// Shows trainings that run one after the other, as compare and reproduce run them: how far they
/// are, and the curves of the first seed in the plot and on the page that --plot and --report ask
/// for.
class StudyDisplay {
 public:
  /// `title`: of the page while they run; `names`: of the curves; `hint` is added to the message
  /// when they are interrupted.
  StudyDisplay(const Options& options, const std::string& title,
               const std::vector<std::string>& names, const std::string& device,
               std::string hint = "");

  /// Begins a training: of the model of this name, with the nth of its seeds, from 0, which is
  /// `seed`, and after what it was trained before.
  TrainCallbacks begin(const std::string& name, int64_t nth_seed, uint64_t seed, int64_t epochs,
                       const std::vector<EpochStats>& history = {});

  /// Does all of them. What ends them early is said on the page, and thrown on.
  template <typename Work>
  auto run(const Work& work) {
    try {
      return work();
    } catch (const std::exception& error) {
      stop(error.what());
      throw;
    }
  }

  /// Shows what they came to. Throws Error, naming the path, when the page cannot be written.
  void show(const std::string& result, const std::function<std::string(const Provenance&)>& page);

 private:
  void add(const EpochStats& stats, std::size_t curve);
  void stop(const std::string& problem);
  void write_page();

  Progress progress_;
  std::string hint_;
  std::optional<Plot> plot_;
  std::optional<LivePage> file_;
  RunningPage page_;
  bool has_begun_ = false;  // so that what fails before leaves an earlier page as it is
};

}  // namespace unroll::app
