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
#include "machine.h"
#include "options.h"
#include "progress.h"
#include "unroll/animator.h"
#include "unroll/checkpoint.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/predict.h"
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
      .value("model", "scratch or concise", "KIND", std::string(to_string(defaults.model)))
      .value("cell", "rnn, gru, lstm, or mlp, the ablation without memory", "CELL",
             std::string(to_string(defaults.cell)))
      .value("hidden", "hidden units of a layer", "H", fmt::to_string(defaults.hidden))
      .value("layers", "layers; more than one needs --model concise", "L",
             fmt::to_string(defaults.layers))
      .value(
          "gru-reset",
          "reset gate before or after the product (default: before for scratch, after for concise)",
          "WHEN");
  add_data_options(options);
  add_train_options(options, TrainOptions{}.epochs);
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
  config.model = parse_model_kind(options.text("model"));
  config.cell = parse_cell(options.text("cell"));
  config.hidden = options.integer("hidden");
  config.layers = options.integer("layers");
  if (options.given("gru-reset")) {
    config.gru_reset = parse_gru_reset(options.text("gru-reset"));
  }
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

// The plot, or nothing once it could not be drawn: training does not stop for it.
class Plot {
 public:
  Plot(const std::string& path, double xmin, double xmax) {
    attempt([&] {
      PlotOptions options;
      options.xmin = xmin;
      options.xmax = xmax;
      animator_.emplace(path == "-" ? "" : path, options);
    });
    draws_text_ = path == "-";
  }

  void add(const EpochStats& stats) {
    attempt([&] { animator_->add(static_cast<double>(stats.epoch), stats.perplexity); });
  }

  void finish() {
    attempt([&] {
      if (draws_text_) {
        fmt::print("{}", animator_->text());
      } else {
        animator_->draw();
      }
    });
  }

 private:
  template <typename Draw>
  void attempt(const Draw& draw) {
    if (failed_) {
      return;
    }
    try {
      draw();
    } catch (const Error& error) {
      failed_ = true;
      fmt::print(stderr, "unroll: {}; training goes on\n", error.what());
    }
  }

  std::optional<Animator> animator_;
  bool draws_text_ = false;
  bool failed_ = false;
};

}  // namespace

void train(int argc, const char* const* argv) {
  auto options = declare();
  if (!options.parse(argc, argv)) {
    return;
  }
  // What the request alone shows to be wrong, before any file or device is touched.
  const auto config = read_model_config(options);
  const auto data = [&] {
    read_corpus_options(options);
    return read_data_options(options);
  }();
  auto training = read_train_options(options);
  training.every = options.integer("every");
  check(training);
  check_machine_options(options);
  const bool quiet = options.is_set("quiet");
  const bool json = options.is_set("json");
  if (options.given("plot") && options.text("plot") != "-") {
    check_plot_path(options.text("plot"));
  }

  const auto device = set_up_machine(options);
  if (options.given("save")) {
    check_writable(options.text("save"));
  }
  const auto corpus = load_corpus(options);
  for (auto& prompt : training.prompts) {
    prompt = normalize_prompt(prompt, corpus.text.normalize);
    if (options.given("prompt")) {
      check_prompt(prompt, corpus.vocab);
    }
  }
  const SeqDataLoader train_iter(corpus.indices, data, device);
  std::optional<Log> log;
  if (options.given("log")) {
    log.emplace(options.text("log"));
  }

  at::manual_seed(data.seed);
  const auto net = make_model(config, corpus.vocab.size(), device);

  const int64_t stride = training.every > 0 ? training.every : training.epochs;
  std::optional<Plot> plot;
  if (options.given("plot")) {
    // As in the notebook the axis starts at the first point; a short run shows every epoch.
    plot.emplace(options.text("plot"),
                 training.epochs > 10 * stride ? static_cast<double>(stride) : 1.0,
                 static_cast<double>(training.epochs));
  }
  const int64_t plot_stride = training.epochs > 10 * stride ? stride : 1;

  Progress progress(quiet, training.epochs);
  TrainCallbacks callbacks;
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
    callbacks.on_prediction = [&](const EpochStats&, const std::string& text) {
      progress.clear();
      fmt::print("{}\n", text);
      std::fflush(stdout);
    };
  }

  TrainReport report{.result = train_ch8(*net, train_iter, corpus.vocab, training, callbacks),
                     .config = config,
                     .device = describe(device),
                     .vocab_size = corpus.vocab.size(),
                     .tokens = corpus.size(),
                     .threads = at::get_num_threads()};
  progress.clear();
  if (options.given("save")) {
    save_checkpoint(options.text("save"), {.config = config,
                                           .vocab = corpus.vocab,
                                           .text = corpus.text,
                                           .weights = net->weights(),
                                           .epochs = training.epochs,
                                           .perplexity = report.result.perplexity()});
  }
  if (json) {
    fmt::print("{}\n", to_json(report));
  } else {
    fmt::print("{}\n", summary(report));
    for (const auto& prediction : report.result.predictions) {
      fmt::print("{}\n", prediction);
    }
  }
  if (plot) {
    plot->finish();
  }
}

}  // namespace unroll::app
