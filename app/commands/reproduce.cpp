#include <filesystem>
#include <string>
#include <vector>

#include "base/formatted.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output_files.h"
#include "cli/report_file.h"
#include "cli/study_display.h"
#include "commands/commands.h"
#include "page/reproduce_page.h"
#include "report/reproduce_report.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/study.h"

namespace unroll::app {
namespace {

Options declare_reproduce_options() {
  std::string names;
  for (const auto& row : published_results()) {
    names += formatted("{}{}", names.empty() ? "" : ", ", row.name);
  }
  Options options(
      "reproduce",
      "Trains the models of the notebook's published results on The Time Machine, and "
      "judges each: the exit code is 1 if one fails. Stopped, it goes on where it was.");
  options
      .value("text", "The Time Machine, which scripts/fetch_time_machine gets", "FILE",
             "data/timemachine.txt")
      .value("rows", "which results, with commas between them: of " + names + " (default: all)",
             "NAMES")
      .fields(ReproduceOptions{})
      .value("folder", "where the trainings are kept as checkpoints", "DIR", "reproduce");
  add_machine_options(options);
  add_report_option(options.group("Output"));
  options.flag("json", "print one JSON object as the result")
      .flag("quiet", "print nothing but the result");
  return options;
}

// Throws UsageError when the page would replace what is read or kept.
void check_report(const Options& options, const ReproduceOptions& request) {
  report_path(options);
  check_distinct_files(options, {"text", "report"});
  std::vector<std::filesystem::path> kept;
  for (const auto& row : published_results(request.rows)) {
    for (uint64_t seed = 0; seed < static_cast<uint64_t>(request.seeds); ++seed) {
      kept.push_back(kept_training(options.path("folder"), row, seed));
    }
  }
  check_apart(options, "report", kept, "where a checkpoint is to be saved");
}

ReproduceOptions read_reproduce_request(const Options& options) {
  ReproduceOptions request;
  options.read(request);
  if (options.given("rows")) {
    request.rows = list_of<std::string>(options, "rows");
  }
  check(request);
  check_graph(options, request.compute.graph);
  check_machine_options(options);
  options.path("text");
  options.path("folder");
  check_report(options, request);
  return request;
}

// Where The Time Machine is, if it is not there, is more than a missing file.
void require_text(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    throw Error(
        formatted("{}: no such file; scripts/fetch_time_machine gets The Time Machine, from where "
                  "data/README.md says, or --text names it",
                  path));
  }
}

}  // namespace

void reproduce(int argc, const char* const* argv) {
  auto options = declare_reproduce_options();
  if (!options.parse(argc, argv)) {
    return;
  }
  const auto request = read_reproduce_request(options);
  const auto device = set_up_machine(options);
  require_supported(request.compute, device);
  const auto text = options.path("text");
  require_text(text);

  check_report_writable(options);
  std::vector<std::string> names;
  for (const auto& row : published_results(request.rows)) {
    names.emplace_back(row.name);
  }
  StudyDisplay display(options, "Reproducing the notebook's published results", names,
                       describe(device), "; the same command goes on from there");
  catch_interrupts();
  const auto rows = display.run([&] {
    return unroll::reproduce(text, options.path("folder"), device, request,
                             [&](const PublishedResult& row, uint64_t seed, const auto& history) {
                               return display.begin(std::string(row.name),
                                                    static_cast<int64_t>(seed), seed,
                                                    request.epochs, history);
                             });
  });
  display.show(options.is_set("json") ? to_json(rows) + "\n" : table(rows),
               [&](const Provenance& provenance) { return to_html(rows, provenance); });
  if (has_failed(rows)) {
    throw Error("a result was not reproduced");
  }
}

}  // namespace unroll::app
