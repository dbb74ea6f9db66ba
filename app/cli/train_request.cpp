#include "cli/train_request.h"

#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/formatted.h"
#include "cli/plot.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

// A path that holds in any folder.
std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

ModelConfig read_model_config(const Options& options) {
  ModelConfig config;
  config.cell = parse_cell(options.text("cell"));
  config.dropout = options.number("dropout");
  if (options.has("model")) {
    config.model = parse_model_kind(options.text("model"));
  } else if (config.cell == Cell::kMlp) {
    config.model = ModelKind::kScratch;
  }
  config.hidden = options.integer("hidden");
  config.layers = options.integer("layers");
  if (options.has("gru-reset")) {
    config.gru_reset = parse_gru_reset(options.text("gru-reset"));
  }
  config.precision = parse_precision(options.text("precision"));
  check(config);
  return config;
}

}  // namespace

Options declare_train_options() {
  Options options("train",
                  "Trains a model on a text, prints its perplexity and continues prompts.");
  const ModelConfig defaults;
  add_corpus_options(options);
  options.group("Model")
      .value("model",
             "scratch, concise, or fused, which is the fastest; on CUDA its own kernels are used "
             "only if it is named here",
             "KIND", std::string(to_string(defaults.model)))
      .value("cell", "rnn, gru, lstm, or mlp, the ablation without memory", "CELL",
             std::string(to_string(defaults.cell)))
      .value("hidden", "hidden units of a layer", "H", formatted("{}", defaults.hidden))
      .value("layers", "layers; more than one needs --model concise or fused", "L",
             formatted("{}", defaults.layers))
      .value("dropout", "share of a layer's outputs that the next does not get in training", "P",
             formatted("{}", defaults.dropout))
      .value("gru-reset",
             "reset gate before or after the product (default: after for concise or several "
             "layers, else before)",
             "WHEN");
  options.value("precision", "of a fused model: fp32, bf16x3 (on a CPU) or bf16", "NAME",
                std::string(to_string(defaults.precision)));
  add_data_options(options);
  add_train_options(options, {});
  options.value("every", "epochs between two predictions and points; 0 is never", "N",
                formatted("{}", TrainOptions{}.every));
  options.group("Validation")
      .value("valid", "text that is not trained on: a share of the corpus, its end, or a file",
             "SHARE|FILE")
      .value("valid-every", "epochs between two validations", "N",
             formatted("{}", TrainOptions{}.valid_every))
      .value("patience", "stop after so many validations without a better one; 0 is never", "N",
             formatted("{}", TrainOptions{}.patience));
  add_machine_options(options);
  add_graph_option(options);
  options.group("Checkpoints")
      .value("save", "write the training as a checkpoint; with --valid the best one beside it",
             "FILE")
      .value("save-every", "also while training: 10 (epochs) or 5m (minutes)", "N")
      .value("keep", "checkpoints to keep, at most 100, FILE.1 being the one before", "N", "1")
      .value("resume", "go on with a checkpoint's training; options not given are as they were",
             "FILE");
  options.group("Output")
      .value("plot", "draw the perplexity while training; - draws text at the end",
             "FILE.svg|.png|-")
      .value("log", "write one JSON object an epoch", "FILE.jsonl")
      .flag("json", "print one JSON object as the result")
      .flag("quiet", "print nothing but the result");
  return options;
}

std::optional<Checkpoint> load_resumed(Options& options) {
  if (!options.given("resume")) {
    return std::nullopt;
  }
  auto checkpoint = load_checkpoint(options.path("resume"));
  if (!checkpoint.training) {
    throw Error(
        formatted("{}: holds a model alone, no training to go on with", options.path("resume")));
  }
  options.restore(option_values(checkpoint));
  return checkpoint;
}

TrainRequest read_train_request(const Options& options) {
  TrainRequest request{.config = read_model_config(options),
                       .text = read_corpus_options(options),
                       .data = read_data_options(options),
                       .training = read_train_options(options)};
  request.training.every = options.integer("every");
  request.training.valid_every = options.integer("valid-every");
  request.training.patience = options.integer("patience");
  check(request.training);
  if (request.training.patience > 0 && !options.has("valid")) {
    throw UsageError("--patience waits for a better validation: give --valid");
  }
  return request;
}

std::optional<double> valid_share(const Options& options) {
  const auto text = options.path("valid");
  if (text == kStandardInput) {
    throw UsageError("--valid must be a share between 0 and 1 or a file, got -");
  }
  double share = 0;
  const auto* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, share);
  if (error != std::errc{} || at != end) {
    return std::nullopt;
  }
  if (!(share > 0 && share < 1)) {
    throw UsageError(formatted("--valid must be a share between 0 and 1 or a file, got {}", text));
  }
  return share;
}

std::string save_path(const Options& options) {
  for (const char* name : {"save", "resume"}) {
    if (options.given(name)) {
      return options.path(name);
    }
  }
  return {};
}

void check_output_options(const Options& options) {
  for (const char* name : {"save", "log", "resume"}) {
    if (options.given(name)) {
      options.path(name);
    }
  }
  if (options.has("save-every")) {
    parse_save_interval(options.text("save-every"));
  }
  check_keep(options.integer("keep"));
  for (const char* name : {"save-every", "keep"}) {
    if (options.given(name) && !options.given("save") && !options.given("resume")) {
      throw UsageError(formatted("--{} has nothing to save without --save", name));
    }
  }
  if (options.has("plot") && options.path("plot") != "-") {
    check_plot_path(options.path("plot"));
  } else if (options.given("plot") && (options.is_set("json") || options.is_set("quiet"))) {
    throw UsageError("--plot - draws on the standard output, which --json and --quiet keep clear");
  }
  check_distinct_files(options, {"text", "valid", "save", "log", "plot", "index"});
  check_distinct_files(options, {"text", "valid", "resume", "log", "plot", "index"});
  if (const auto save = save_path(options); !save.empty()) {
    for (const char* name : {"text", "valid", "log", "plot", "index"}) {
      check_apart(options, name, CheckpointFiles::names(save, options.integer("keep")));
    }
  }
}

TrainRecord make_record(const Options& options, const TrainRequest& request) {
  TrainRecord record;
  record.build = build_of_this();
  for (const auto& text : options.texts("text")) {
    record.texts.push_back(text == kStandardInput ? text : absolute(text));
  }
  if (options.has("valid")) {
    record.valid_share = valid_share(options).value_or(0);
    record.valid_text = record.valid_share > 0 ? "" : absolute(options.path("valid"));
  }
  record.corpus = request.text;
  record.data = request.data;
  record.options = request.training;
  record.precision = request.config.precision;
  for (const char* name : {"device", "threads", "graph", "save-every", "keep"}) {
    if (options.has(name)) {
      record.settings[name] = options.text(name);
    }
  }
  for (const char* name : {"log", "plot", "index"}) {
    if (options.has(name)) {
      const auto path = options.text(name);
      record.settings[name] = path == "-" || path == "auto" ? path : absolute(path);
    }
  }
  return record;
}

}  // namespace unroll::app
