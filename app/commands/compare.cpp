#include <ATen/Context.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>

#include "base/formatted.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/plot.h"
#include "cli/progress.h"
#include "commands/commands.h"
#include "study/report.h"
#include "unroll/error.h"
#include "unroll/notebook.h"
#include "unroll/study.h"
#include "unroll/tensors.h"

namespace unroll::app {
void compare(int argc, const char* const* argv) {
  Options options(
      "compare",
      "Gives the scratch, the concise and the fused model the same weights, measures how far "
      "from scratch the other two compute, and trains all on the same batches.");
  CompareOptions request;
  add_corpus_options(options);
  options.group("Model")
      .value("cell", "rnn, gru (reset after the product, as torch::nn has it) or lstm", "CELL",
             std::string(to_string(request.cell)))
      .value("hidden", "hidden units", "H", formatted("{}", request.hidden));
  add_data_options(options);
  add_train_options(options, request.train);
  add_machine_options(options);
  add_graph_option(options);
  options.group("Output")
      .value("plot", "draw the perplexities; fused lies on scratch", "FILE.svg|.png")
      .flag("json", "print one JSON object as the result")
      .flag("quiet", "print nothing but the result");
  if (!options.parse(argc, argv)) {
    return;
  }
  request.cell = parse_cell(options.text("cell"));
  request.hidden = options.integer("hidden");
  request.train = read_train_options(options);
  check(request);
  const auto text = read_corpus_options(options);
  const auto data = read_data_options(options);
  check_machine_options(options);
  if (options.given("plot")) {
    check_plot_path(options.path("plot"));
  }
  check_distinct_files(options, {"text", "plot", "index"});

  const auto device = set_up_machine(options);
  require_graph(request.train.graph, device);
  if (options.given("plot")) {
    check_writable(options.path("plot"));
  }
  const auto corpus = load_corpus(options, text);
  request.train.prompts =
      fit_prompts(options, request.train.prompts, corpus.text.normalize, corpus.vocab);
  const auto train_iter = make_loader(options, corpus.indices, data, device);
  at::manual_seed(data.seed);

  Progress progress(options.is_set("quiet"), request.train.epochs);
  std::optional<Plot> plot;
  if (options.given("plot")) {
    PlotOptions plot_options;
    plot_options.legend.clear();
    for (const auto model : kComparedModels) {
      plot_options.legend.emplace_back(to_string(model));
    }
    plot_options.xmin = 1;
    plot.emplace(options.path("plot"), plot_options, progress);
  }
  catch_interrupts();
  const auto observe = [&](const ModelConfig& model) {
    progress.restart(std::string(to_string(model.model)));
    TrainCallbacks callbacks;
    callbacks.on_batch = [&](const TrainProgress& at, int64_t batches) {
      check_interrupt(at);
      progress.show(at, batches);
    };
    const auto curve = static_cast<std::size_t>(
        std::distance(kComparedModels.begin(),
                      std::find(kComparedModels.begin(), kComparedModels.end(), model.model)));
    callbacks.on_epoch = [&, curve](const EpochStats& stats) {
      progress.show(stats);
      if (plot) {
        plot->add(stats, curve);
      }
    };
    callbacks.on_graph_fallback = [&](const std::string& reason) {
      progress.clear();
      print_error(without_graph(reason));
    };
    return callbacks;
  };
  const auto comparison = unroll::compare(train_iter, corpus.vocab, request, observe);
  progress.clear();
  print_formatted(stdout, "{}\n", options.is_set("json") ? to_json(comparison) : table(comparison));
  if (plot) {
    plot->finish();
  }
}

}  // namespace unroll::app
