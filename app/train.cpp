#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "commands.h"
#include "interrupt.h"
#include "machine.h"
#include "options.h"
#include "plot.h"
#include "progress.h"
#include "unroll/animator.h"
#include "unroll/checkpoint.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/report.h"
#include "unroll/safetensors.h"

namespace unroll::app {
namespace {

Options declare() {
  Options options("train",
                  "Trains a model on a text, prints its perplexity and continues prompts.");
  const ModelConfig defaults;
  add_corpus_options(options);
  options.group("Model")
      .value("model", "scratch, concise, or fused, which is the fastest", "KIND",
             std::string(to_string(defaults.model)))
      .value("cell", "rnn, gru, lstm, or mlp, the ablation without memory", "CELL",
             std::string(to_string(defaults.cell)))
      .value("hidden", "hidden units of a layer", "H", fmt::to_string(defaults.hidden))
      .value("layers", "layers; more than one needs --model concise or fused", "L",
             fmt::to_string(defaults.layers))
      .value("gru-reset",
             "reset gate before or after the product (default: after for concise or several "
             "layers, else before)",
             "WHEN");
  options.value("precision", "of a fused model on a CPU: fp32, bf16x3, or bf16", "NAME",
                std::string(to_string(defaults.precision)));
  add_data_options(options);
  add_train_options(options, {});
  options.value("every", "epochs between two predictions and points; 0 is never", "N",
                fmt::to_string(TrainOptions{}.every));
  add_machine_options(options);
  options.group("Output")
      .value("save", "write the trained model as a checkpoint", "FILE")
      .value("plot", "draw the perplexity while training; - draws text at the end",
             "FILE.svg|.png|-")
      .value("log", "write one JSON object an epoch", "FILE.jsonl")
      .flag("json", "print one JSON object as the result")
      .flag("quiet", "print nothing but the result");
  return options;
}

ModelConfig read_model_config(const Options& options) {
  ModelConfig config;
  config.cell = parse_cell(options.text("cell"));
  if (options.given("model")) {
    config.model = parse_model_kind(options.text("model"));
  } else if (config.cell == Cell::kMlp) {
    config.model = ModelKind::kScratch;
  }
  config.hidden = options.integer("hidden");
  config.layers = options.integer("layers");
  if (options.given("gru-reset")) {
    config.gru_reset = parse_gru_reset(options.text("gru-reset"));
  }
  config.precision = parse_precision(options.text("precision"));
  check(config);
  return config;
}

// One line an epoch, whole on disk when the epoch has been reported.
class Log {
 public:
  explicit Log(std::string path) : path_(std::move(path)), file_(path_) { check(); }

  void write(const EpochStats& stats) {
    file_ << log_line(stats) << std::endl;
    check();
  }

 private:
  void check() {
    if (!file_) {
      throw Error(fmt::format("{}: cannot be written: {}", path_, std::strerror(errno)));
    }
  }

  std::string path_;
  std::ofstream file_;
};

// What the options ask for, beside files and the machine.
struct Request {
  ModelConfig config;
  CorpusOptions text;
  DataOptions data;
  TrainOptions training;
};

Request read_request(const Options& options) {
  Request request{.config = read_model_config(options),
                  .text = read_corpus_options(options),
                  .data = read_data_options(options),
                  .training = read_train_options(options)};
  request.training.every = options.integer("every");
  check(request.training);
  return request;
}

// What the paths and flags of the output show to be wrong by themselves.
void check_output_options(const Options& options) {
  for (const char* name : {"save", "log"}) {
    if (options.given(name)) {
      options.path(name);
    }
  }
  if (options.given("plot") && options.path("plot") != "-") {
    check_plot_path(options.path("plot"));
  } else if (options.given("plot") && (options.is_set("json") || options.is_set("quiet"))) {
    throw UsageError("--plot - draws on the standard output, which --json and --quiet keep clear");
  }
  check_distinct_files(options, {"text", "save", "log", "plot", "index"});
}

// As in the notebook a point every `every` epochs, from the first of them; a short run shows all.
int64_t plot_stride_of(const TrainOptions& training) {
  const int64_t stride = training.every > 0 ? training.every : training.epochs;
  return training.epochs > 10 * stride ? stride : 1;
}

std::optional<Plot> make_plot(const Options& options, const TrainOptions& training,
                              Progress& progress) {
  if (!options.given("plot")) {
    return std::nullopt;
  }
  PlotOptions plot_options;
  plot_options.xmin = static_cast<double>(plot_stride_of(training));
  plot_options.xmax = static_cast<double>(training.epochs);
  return Plot(options.path("plot"), plot_options, progress);
}

}  // namespace

void train(int argc, const char* const* argv) {
  auto options = declare();
  if (!options.parse(argc, argv)) {
    return;
  }
  // What the request alone shows to be wrong, before any file or device is touched.
  const auto request = read_request(options);
  const auto& config = request.config;
  auto training = request.training;
  check_machine_options(options);
  const bool quiet = options.is_set("quiet");
  const bool json = options.is_set("json");
  check_output_options(options);

  const auto device = set_up_machine(options);
  require_supported(config.precision, device);
  if (options.given("save")) {
    check_writable(options.path("save"));
  }
  if (options.given("plot") && options.path("plot") != "-") {
    check_writable(options.path("plot"));
  }
  const auto corpus = load_corpus(options, request.text);
  training.prompts = fit_prompts(options, training.prompts, corpus.text.normalize, corpus.vocab);
  const auto train_iter = make_loader(options, corpus, request.data, device);
  at::manual_seed(request.data.seed);
  const auto net = make_model(config, corpus.vocab.size(), device);
  std::optional<Log> log;
  if (options.given("log")) {
    log.emplace(options.path("log"));  // empties the file: the last thing that can fail
  }

  Progress progress(quiet, training.epochs);
  const int64_t plot_stride = plot_stride_of(training);
  auto plot = make_plot(options, training, progress);
  TrainCallbacks callbacks;
  callbacks.on_batch = [&](const TrainProgress& at, int64_t batches) {
    check_interrupt(at);
    progress.show(at, batches);
  };
  callbacks.on_epoch = [&](const EpochStats& stats) {
    if (log) {
      log->write(stats);
    }
    if (plot && (stats.epoch % plot_stride == 0 || stats.epoch == training.epochs)) {
      plot->add(stats);
    }
    progress.show(stats);
  };
  if (!quiet && !json) {
    callbacks.on_prediction = [&](const EpochStats&, const std::string& prediction) {
      progress.clear();
      fmt::print("{}\n", prediction);
      std::fflush(stdout);
    };
  }

  catch_interrupts();
  const TrainReport report{.result = train_ch8(*net, train_iter, corpus.vocab, training, callbacks),
                           .config = config,
                           .device = describe(device),
                           .vocab_size = corpus.vocab.size(),
                           .tokens = corpus.size(),
                           .threads = at::get_num_threads()};
  progress.clear();
  if (json) {
    fmt::print("{}\n", to_json(report));
  } else {
    fmt::print("{}\n", summary(report));
    for (const auto& prediction : report.result.predictions) {
      fmt::print("{}\n", prediction);
    }
  }
  std::fflush(stdout);
  if (options.given("save")) {
    save_checkpoint(options.path("save"), {.config = config,
                                           .vocab = corpus.vocab,
                                           .text = corpus.text,
                                           .weights = net->weights(),
                                           .epochs = training.epochs,
                                           .perplexity = report.result.perplexity()});
  }
  if (plot) {
    plot->finish();
  }
}

}  // namespace unroll::app
