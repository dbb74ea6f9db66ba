#include <ATen/Context.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>

#include "base/atomic_file.h"
#include "base/formatted.h"
#include "base/plot_path.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output_files.h"
#include "cli/plot.h"
#include "cli/progress.h"
#include "cli/texts.h"
#include "cli/train_request.h"
#include "commands/commands.h"
#include "report/compare_report.h"
#include "report/visible_text.h"
#include "unroll/study.h"

namespace unroll::app {
namespace {

Options declare_compare_options() {
  const CompareOptions defaults;
  Options options(
      "compare",
      "Gives the scratch, the concise and the fused model the same weights, measures how far "
      "from scratch the other two compute, and trains all on the same batches.");
  add_corpus_options(options);
  options.group("Model")
      .value("cell",
             "of " + names_of(std::optional(Cell::kMlp)) +
                 "; the gru resets after the product, as torch::nn's",
             "CELL", to_text(defaults.cell))
      .value("hidden", "hidden units", "H", to_text(defaults.hidden));
  options.group("Batch").fields(DataOptions{});
  options.group("Training").fields(defaults.train, {"every", "valid-every", "patience"});
  add_machine_options(options);
  options.fields(Compute{}, {"compute", "precision"});
  options.group("Output")
      .value("plot", "draw the perplexities; the curve of fused lies on that of scratch",
             "FILE.svg|.png")
      .flag("json", "print one JSON object as the result")
      .flag("quiet", "print nothing but the result");
  return options;
}

// What is asked for, as far as the options alone show it.
struct CompareRequest {
  CompareOptions compare;
  CorpusOptions text;
  DataOptions data;
};

CompareRequest read_compare_request(const Options& options) {
  CompareRequest request;
  auto& compare = request.compare;
  parse_value("--cell", options.text("cell"), compare.cell);
  compare.hidden = options.integer("hidden");
  parse_value("--graph", options.text("graph"), compare.graph);
  check_graph(options, compare.graph);
  options.read(compare.train);
  check(compare);
  check_effect(options, compare.train);
  read_corpus_options(options, request.text);
  options.read(request.data);
  check(request.data);
  check_machine_options(options);
  if (options.given("plot")) {
    check_plot_path(options.path("plot"));
  }
  check_distinct_files(options, {"text", "plot", "index"});
  return request;
}

// What is shown while the models train, one after the other.
class Observer {
 public:
  Observer(const Options& options, const CompareOptions& compare)
      : progress_(options.is_set("quiet"), compare.train.epochs),
        setups_(compared_models(compare)) {
    if (!options.given("plot")) {
      return;
    }
    PlotOptions plot_options;
    plot_options.legend.clear();
    for (const auto& setup : setups_) {
      plot_options.legend.push_back(setup.name());
    }
    plot_options.xmin = 1;
    plot_.emplace(options.path("plot"), plot_options, progress_);
  }

  TrainCallbacks callbacks_for(const ModelSetup& setup) {
    progress_.restart(setup.name());
    TrainCallbacks callbacks;
    callbacks.on_batch = [this](const TrainProgress& at, int64_t batches) {
      check_interrupt(at);
      progress_.show(at, batches);
    };
    const auto curve = static_cast<std::size_t>(
        std::distance(setups_.begin(), std::find(setups_.begin(), setups_.end(), setup)));
    callbacks.on_epoch = [this, curve](const EpochStats& stats) {
      progress_.show(stats);
      if (plot_) {
        plot_->add(stats, curve);
      }
    };
    callbacks.on_graph_fallback = [this](const std::string& reason) {
      progress_.clear();
      print_error(without_graph(reason));
    };
    return callbacks;
  }

  void show(const std::string& result) {
    progress_.clear();
    print_text(stdout, result + "\n");
    if (plot_) {
      plot_->finish();
    }
  }

 private:
  Progress progress_;
  std::vector<ModelSetup> setups_;
  std::optional<Plot> plot_;
};

}  // namespace

void compare(int argc, const char* const* argv) {
  auto options = declare_compare_options();
  if (!options.parse(argc, argv)) {
    return;
  }
  auto [request, text, data] = read_compare_request(options);
  const auto device = set_up_machine(options);
  require_supported({.graph = request.graph}, device);
  if (options.given("plot")) {
    check_writable(options.path("plot"));
  }
  const auto corpus = load_corpus(options, text);
  request.train.prompts = fit_prompts(options, request.train.prompts, corpus);
  const auto train_iter = make_loader(options, corpus.indices, data, device);
  at::manual_seed(data.seed);

  if (!options.is_set("quiet")) {
    print_note(visible(describe_corpus(options, corpus)) + "\n");
  }
  Observer observer(options, request);
  catch_interrupts();
  const auto comparison =
      unroll::compare(train_iter, corpus.vocab, request,
                      [&](const ModelSetup& setup) { return observer.callbacks_for(setup); });
  observer.show(options.is_set("json") ? to_json(comparison) : table(comparison));
}

}  // namespace unroll::app
