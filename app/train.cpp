#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "commands.h"
#include "interrupt.h"
#include "machine.h"
#include "message.h"
#include "options.h"
#include "plot.h"
#include "progress.h"
#include "saver.h"
#include "unroll/animator.h"
#include "unroll/checkpoint.h"
#include "unroll/checkpoint_files.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/report.h"
#include "unroll/safetensors.h"
#include "unroll/train_log.h"

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
      .value("dropout", "share of a layer's outputs that the next does not get; needs concise", "P",
             fmt::to_string(defaults.dropout))
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
  options.group("Validation")
      .value("valid", "text that is not trained on: a share of the corpus, its end, or a file",
             "SHARE|FILE")
      .value("valid-every", "epochs between two validations", "N",
             fmt::to_string(TrainOptions{}.valid_every))
      .value("patience", "stop after so many validations without a better one; 0 is never", "N",
             fmt::to_string(TrainOptions{}.patience));
  add_machine_options(options);
  options.group("Checkpoints")
      .value("save", "write the training as a checkpoint; with --valid the best one beside it",
             "FILE")
      .value("save-every", "also while training: 10 (epochs) or 5m (minutes)", "N")
      .value("keep", "checkpoints to keep, FILE.1 being the one before", "N", "1")
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
  } else if (config.dropout > 0) {
    config.model = ModelKind::kConcise;
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

// What a training is, beside files and the machine.
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
  request.training.valid_every = options.integer("valid-every");
  request.training.patience = options.integer("patience");
  check(request.training);
  if (request.training.patience > 0 && !options.has("valid")) {
    throw UsageError("--patience waits for a better validation: give --valid");
  }
  return request;
}

// The share of the corpus that --valid holds out, if it is no file.
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
    throw UsageError(
        fmt::format("--valid must be a share between 0 and 1 or a file, got {}", text));
  }
  return share;
}

// Where the training is saved, if it is.
std::string save_path(const Options& options) {
  for (const char* name : {"save", "resume"}) {
    if (options.given(name)) {
      return options.path(name);
    }
  }
  return {};
}

// What the paths and flags of the output show to be wrong by themselves.
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
      throw UsageError(fmt::format("--{} has nothing to save without --save", name));
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

// As in the notebook a point every `every` epochs, from the first of them; a short run shows all.
int64_t plot_stride_of(const TrainOptions& training) {
  const int64_t stride = training.every > 0 ? training.every : training.epochs;
  return training.epochs > 10 * stride ? stride : 1;
}

std::optional<Plot> make_plot(const Options& options, const TrainOptions& training,
                              Progress& progress) {
  const bool clear = options.is_set("json") || options.is_set("quiet");
  if (!options.has("plot") || (options.path("plot") == "-" && clear)) {
    return std::nullopt;
  }
  PlotOptions plot_options;
  plot_options.xmin = static_cast<double>(plot_stride_of(training));
  plot_options.xmax = static_cast<double>(training.epochs);
  return Plot(options.path("plot"), plot_options, progress);
}

// The training to go on with; its options stand in for those that are not given.
std::optional<Checkpoint> load_resumed(Options& options) {
  if (!options.given("resume")) {
    return std::nullopt;
  }
  auto checkpoint = load_checkpoint(options.path("resume"));
  if (!checkpoint.training) {
    throw Error(
        fmt::format("{}: holds a model alone, no training to go on with", options.path("resume")));
  }
  options.restore(option_values(checkpoint));
  return checkpoint;
}

// What is learned from, and what is looked at beside.
struct Texts {
  Corpus corpus;
  torch::Tensor train;
  torch::Tensor valid;                // undefined without --valid
  TextFingerprint valid_fingerprint;  // of a text of its own
};

Texts load_texts(const Options& options, const CorpusOptions& request) {
  Texts texts;
  texts.corpus = load_corpus(options, request);
  texts.train = texts.corpus.indices;
  if (!options.has("valid")) {
    return texts;
  }
  if (const auto share = valid_share(options)) {
    std::tie(texts.train, texts.valid) = hold_out(texts.corpus.indices, *share);
  } else {
    CorpusOptions as_trained = request;
    as_trained.max_tokens = 0;
    as_trained.vocab = std::make_shared<Vocab>(texts.corpus.vocab);
    const auto corpus = read_corpus(options.path("valid"), as_trained);
    if (corpus.size() < 2) {
      throw Error(fmt::format("{}: has {} token, need at least 2 to validate on",
                              options.path("valid"), corpus.size()));
    }
    texts.valid = corpus.indices;
    texts.valid_fingerprint = corpus.fingerprint;
  }
  return texts;
}

void require_same(const TextFingerprint& found, const TextFingerprint& expected,
                  const std::string& name) {
  if (found != expected) {
    throw Error(
        fmt::format("{}: is not the text of the checkpoint: {} bytes with hash {}, "
                    "expected {} with {}",
                    name, found.bytes, found.hash, expected.bytes, expected.hash));
  }
}

// Throws Error unless the texts are those that the checkpoint's training had.
void require_same_texts(const Texts& texts, const Checkpoint& resumed, const Options& options) {
  const auto& record = *resumed.training;
  require_same(texts.corpus.fingerprint, record.fingerprint, name_of_text(options));
  if (!record.valid_text.empty()) {
    require_same(texts.valid_fingerprint, record.valid_fingerprint, options.path("valid"));
  }
  if (texts.corpus.vocab.tokens() != resumed.vocab.tokens()) {
    throw Error(
        fmt::format("{}: is cut into other tokens than those of the checkpoint, which was "
                    "saved with another version",
                    name_of_text(options)));
  }
}

// Puts the training where the checkpoint stands.
void go_on(Training& training, SequenceModel& net, const Checkpoint& resumed,
           const std::string& path) {
  try {
    load_weights(net, resumed.weights);
    training.load_state(resumed.training->state);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: its training cannot go on: {}", path, error.what()));
  }
}

TrainRecord make_record(const Options& options, const Request& request) {
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
  for (const char* name : {"device", "threads", "save-every", "keep"}) {
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

// What the program prints, and shows, while it trains.
class Display {
 public:
  Display(const Options& options, const TrainOptions& training)
      : quiet_(options.is_set("quiet")),
        json_(options.is_set("json")),
        epochs_(training.epochs),
        plot_stride_(plot_stride_of(training)),
        progress_(quiet_, training.epochs),
        plot_(make_plot(options, training, progress_)) {}

  Progress& progress() { return progress_; }

  // A resumed training's epochs, which are over.
  void show(const std::vector<EpochStats>& history) {
    for (const auto& stats : history) {
      add_point(stats);
    }
  }
  void show(const TrainProgress& at, int64_t batches) { progress_.show(at, batches); }
  void show(const EpochStats& stats) {
    add_point(stats);
    progress_.show(stats);
  }
  void show(const std::string& prediction) {
    if (!quiet_ && !json_) {
      progress_.clear();
      put(prediction);
    }
  }
  void warn(const std::string& message) {
    progress_.clear();
    print_error(message);
  }
  void show(const TrainReport& report) {
    progress_.clear();
    if (json_) {
      put(to_json(report));
    } else {
      put(summary(report));
      std::for_each(report.result.predictions.begin(), report.result.predictions.end(), put);
    }
    if (plot_) {
      plot_->finish();
    }
  }

 private:
  // A line; that nobody takes it is told when all is done.
  static void put(const std::string& line) {
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fputc('\n', stdout);
    std::fflush(stdout);
  }

  void add_point(const EpochStats& stats) {
    if (plot_ && (stats.epoch % plot_stride_ == 0 || stats.epoch == epochs_)) {
      plot_->add(stats);
    }
  }

  bool quiet_;
  bool json_;
  int64_t epochs_;
  int64_t plot_stride_;
  Progress progress_;
  std::optional<Plot> plot_;
};

// A log that cannot be written is not worth the training: one line tells, and a resumed training
// writes it anew.
template <typename Write>
void attempt(std::optional<TrainLog>& log, Display& display, const Write& write) {
  if (!log) {
    return;
  }
  try {
    write(*log);
  } catch (const Error& error) {
    display.warn(fmt::format("{}; the training goes on without it", error.what()));
    log.reset();
  }
}

// Calls whatever is to be done as training goes on.
TrainCallbacks make_callbacks(const Training& training, bool validates, Display& display,
                              std::optional<TrainLog>& log, std::optional<Saver>& saver) {
  TrainCallbacks callbacks;
  callbacks.on_batch = [&](const TrainProgress& at, int64_t batches) {
    if (is_interrupted()) {
      auto message = interruption(at);
      if (saver) {
        saver->save();
        message += fmt::format("; unroll train --resume {} goes on", saver->path());
      }
      throw Interrupted(message);
    }
    if (saver) {
      saver->after_batch();
    }
    display.show(at, batches);
  };
  callbacks.on_epoch = [&](const EpochStats& stats) {
    attempt(log, display, [&](TrainLog& file) { file.write(stats); });
    display.show(stats);
  };
  callbacks.on_prediction = [&](const EpochStats&, const std::string& text) { display.show(text); };
  if (saver) {
    callbacks.on_epoch_end = [&, validates](const EpochStats& stats) {
      if (validates && training.best().epoch == stats.epoch) {
        saver->save_best();
      }
      saver->after_epoch(stats);
    };
  }
  return callbacks;
}

}  // namespace

void train(int argc, const char* const* argv) {
  auto options = declare();
  if (!options.parse(argc, argv)) {
    return;
  }
  auto resumed = load_resumed(options);
  // What the request alone shows to be wrong, before any other file or device is touched.
  auto request = read_request(options);
  auto record = make_record(options, request);
  check_machine_options(options);
  check_output_options(options);
  if (resumed) {
    check_resumable(*resumed, request.config, record);
  }

  const auto device = set_up_machine(options);
  require_supported(request.config.precision, device);
  Display display(options, request.training);
  std::optional<Saver> saver;
  if (const auto save = save_path(options); !save.empty()) {
    check(record);
    saver.emplace(save, options.integer("keep"),
                  options.has("save-every") ? parse_save_interval(options.text("save-every"))
                                            : SaveInterval{},
                  display.progress());
    if (resumed) {
      saver->set_last(options.path("resume"), *resumed);
    }
  }
  if (options.has("plot") && options.path("plot") != "-") {
    check_writable(options.path("plot"));
  }
  const auto texts = load_texts(options, request.text);
  const auto& corpus = texts.corpus;
  record.fingerprint = corpus.fingerprint;
  record.valid_fingerprint = texts.valid_fingerprint;
  if (resumed) {
    require_same_texts(texts, *resumed, options);
  }
  request.training.prompts =
      fit_prompts(options, request.training.prompts, corpus.text.normalize, corpus.vocab);
  record.options.prompts = request.training.prompts;
  const auto train_iter = make_loader(options, texts.train, request.data, device);
  at::manual_seed(request.data.seed);
  const auto net = make_model(request.config, corpus.vocab.size(), device);
  Training training(*net, train_iter, corpus.vocab, request.training, texts.valid);
  if (resumed) {
    go_on(training, *net, *resumed, options.path("resume"));
    display.show(resumed->training->state.history);
    if (resumed->training->build != build_of_this()) {
      display.warn(
          fmt::format("the checkpoint was saved by {}, this is {}: the last digits may "
                      "differ",
                      resumed->training->build, build_of_this()));
    }
  }
  std::optional<TrainLog> log;
  if (options.has("log")) {  // a new training empties the file: the last thing that can fail
    log.emplace(options.path("log"), training.history());
  }
  resumed.reset();
  if (saver) {
    saver->set_source([&] {
      attempt(log, display, [](TrainLog& file) { file.sync(); });
      record.state = training.state();
      return Checkpoint{
          .config = request.config,
          .vocab = corpus.vocab,
          .text = corpus.text,
          .weights = net->weights(),
          .epochs = record.state.progress.epoch,
          .perplexity = training.history().empty() ? 0 : training.history().back().perplexity,
          .training = record};
    });
  }

  catch_interrupts();
  TrainReport report{.result = {},
                     .config = request.config,
                     .device = describe(device),
                     .vocab_size = corpus.vocab.size(),
                     .tokens = corpus.size(),
                     .threads = at::get_num_threads()};
  try {
    report.result =
        training.run(make_callbacks(training, texts.valid.defined(), display, log, saver));
  } catch (const Diverged& error) {
    throw Error(saver ? fmt::format("{}; {}", error.what(), saver->last()) : error.what());
  }
  // Saved first, as nobody may be there to read; told in any case.
  std::exception_ptr unsaved;
  try {
    if (saver) {
      saver->save_last();
    }
  } catch (const Error&) {
    unsaved = std::current_exception();
  }
  display.show(report);
  if (unsaved) {
    std::rethrow_exception(unsaved);
  }
}

}  // namespace unroll::app
