#include "unroll/compare.h"

#include <ATen/Context.h>
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "machine.h"
#include "options.h"
#include "progress.h"
#include "unroll/animator.h"
#include "unroll/error.h"
#include "unroll/predict.h"
#include "unroll/report.h"

namespace unroll::app {
namespace {

void draw(const std::string& path, const Comparison& comparison) {
  PlotOptions plot;
  plot.legend.clear();
  for (const auto& model : comparison.models) {
    plot.legend.emplace_back(to_string(model.config.model));
  }
  plot.xmin = 1;
  Animator animator(path, plot);
  for (std::size_t i = 0; i < comparison.models.size(); ++i) {
    for (const auto& stats : comparison.models[i].training.epochs) {
      animator.add(static_cast<double>(stats.epoch), stats.perplexity, i);
    }
  }
  animator.draw();
}

}  // namespace

void compare(int argc, const char* const* argv) {
  Options options(
      "compare",
      "Gives the scratch and the concise model the same weights, measures how far apart "
      "they compute, and trains both on the same batches.");
  CompareOptions request;
  add_corpus_options(options);
  options.group("Model")
      .value("cell", "rnn, gru (reset after the product, as torch::nn has it) or lstm", "CELL",
             std::string(to_string(request.cell)))
      .value("hidden", "hidden units", "H", fmt::to_string(request.hidden));
  add_data_options(options);
  add_train_options(options, 20);
  add_machine_options(options);
  options.group("Output")
      .value("plot", "draw both perplexities", "FILE.svg|.png")
      .flag("json", "print one JSON object as the result")
      .flag("quiet", "print nothing but the result");
  if (!options.parse(argc, argv)) {
    return;
  }
  request.cell = parse_cell(options.text("cell"));
  if (request.cell == Cell::kMlp) {
    throw UsageError("torch::nn has no mlp cell to compare with; choose rnn, gru or lstm");
  }
  request.hidden = options.integer("hidden");
  ModelConfig config;
  config.hidden = request.hidden;
  check(config);
  read_corpus_options(options);
  request.data = read_data_options(options);
  request.train = read_train_options(options);
  check_machine_options(options);
  if (options.given("plot")) {
    check_plot_path(options.text("plot"));
  }

  const auto device = set_up_machine(options);
  const auto corpus = load_corpus(options);
  for (auto& prompt : request.train.prompts) {
    prompt = normalize_prompt(prompt, corpus.text.normalize);
    if (options.given("prompt")) {
      check_prompt(prompt, corpus.vocab);
    }
  }
  at::manual_seed(request.data.seed);

  Progress progress(options.is_set("quiet"), request.train.epochs);
  std::string_view shown;
  const auto comparison = unroll::compare(
      corpus, request, device, [&](const ModelConfig& model, const EpochStats& stats) {
        if (const auto name = to_string(model.model); name != shown) {
          shown = name;
          progress.restart(std::string(name));
        }
        progress.show(stats);
      });
  progress.clear();
  fmt::print("{}\n", options.is_set("json") ? to_json(comparison) : table(comparison));
  if (options.given("plot")) {
    draw(options.text("plot"), comparison);
  }
}

}  // namespace unroll::app
