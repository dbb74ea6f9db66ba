#include "cli/train_request.h"

#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/fields.h"
#include "base/formatted.h"
#include "base/plot_path.h"
#include "cli/machine.h"
#include "cli/output_files.h"
#include "cli/plot.h"
#include "cli/ranks.h"
#include "cli/report_file.h"
#include "cli/save_interval.h"
#include "cli/texts.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

// A path that holds in any folder.
std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

void add_file_options(Options& options) {
  options.group("Checkpoint")
      .value("save", "save the training as a checkpoint; with --valid also the best one, beside it",
             "FILE")
      .value("save-every", "save while training too: every 10 (epochs) or 5m (minutes)", "N")
      .value("keep", "checkpoints to keep, at most 100; FILE.1 is the one before", "N", "1")
      .value("resume",
             "continue a checkpoint's training; options not given come from the checkpoint; auto: "
             "that of --save, if it is there",
             "FILE|auto")
      .value("init-from",
             "begin a new training with a checkpoint's weights and vocabulary (fine-tuning)",
             "FILE")
      .flag("add-tokens",
            "with --init-from: give tokens that the checkpoint lacks rows of their own, untrained "
            "ones; else they are <unk>");
  options.group("Output")
      .value("plot", "draw the perplexity while training; - draws text at the end",
             "FILE.svg|.png|-")
      .value("log", "write one JSON object for each epoch", "FILE.jsonl")
      .value("tensorboard", "write figures and samples for TensorBoard into this folder", "DIR");
  add_report_option(options);
  options.flag("json", "print one JSON object as the result")
      .flag("quiet", "print nothing but the result");
}

void check_saving(const Options& options) {
  for (const char* name : {"save", "log", "tensorboard", "report", "resume", "init-from"}) {
    if (options.given(name)) {
      options.path(name);
    }
  }
  if (options.has("save-every")) {
    parse_save_interval(options.text("save-every"));
  }
  require_in("--keep", options.integer("keep"), from_to(1, CheckpointFiles::kMostKept));
  for (const char* name : {"save-every", "keep"}) {
    if (options.given(name) && save_path(options).empty()) {
      throw UsageError(formatted("--{} needs --save", name));
    }
  }
}

void check_output_files(const Options& options) {
  check_saving(options);
  if (options.has("plot") && options.path("plot") != "-") {
    check_plot_path(options.path("plot"));
  } else if (options.given("plot") && (options.is_set("json") || options.is_set("quiet"))) {
    throw UsageError(
        "--plot - writes to the standard output, which --json and --quiet reserve for the result");
  }
  std::vector<std::string> files{"text",        "valid",  "save", "log",
                                 "tensorboard", "report", "plot", "index"};
  std::vector<std::string> others{"text", "valid", "log", "tensorboard", "report", "plot", "index"};
  if (options.given("init-from")) {  // a resumed training does not read it any more
    files.emplace_back("init-from");
    others.emplace_back("init-from");
  }
  check_distinct_files(options, files);
  check_distinct_files(
      options, {"text", "valid", "resume", "log", "tensorboard", "report", "plot", "index"});
  if (const auto save = save_path(options); !save.empty()) {
    for (const auto& name : others) {
      check_apart(options, name, CheckpointFiles::names(save, options.integer("keep")),
                  "where a checkpoint is to be saved");
    }
  }
}

// The texts and the options of the command's own; paths hold in any folder.
void record_settings(const Options& options, TrainRecord& record) {
  record.texts.clear();
  for (const auto& text : options.texts("text")) {
    record.texts.push_back(text == kStandardInput ? text : absolute(text));
  }
  record.valid_share = options.has("valid") ? valid_share(options).value_or(0) : 0;
  record.valid_text =
      options.has("valid") && record.valid_share == 0 ? absolute(options.path("valid")) : "";
  record.settings.clear();
  for (const char* name : {"device", "threads", "save-every", "keep"}) {
    if (options.has(name)) {
      record.settings[name] = options.text(name);
    }
  }
  for (const char* name : {"log", "tensorboard", "report", "plot", "index", "init-from"}) {
    if (options.has(name)) {
      const auto path = options.path(name);
      record.settings[name] = path == "-" || path == "auto" ? path : absolute(path);
    }
  }
  record.build = build_of_this();
}

// Throws UsageError for an option of a training that was given and would change nothing.
void check_effect(const Options& options, const TrainOptions& training) {
  for (const char* name : {"patience", "valid-every"}) {
    if (options.given(name) && !options.has("valid")) {
      throw UsageError(formatted("--{} needs --valid", name));
    }
  }
  const auto schedule = training.schedule.schedule;
  for (const char* name : {"lr-decay", "lr-patience"}) {
    if (options.given(name) && schedule != Schedule::kPlateau) {
      throw UsageError(
          formatted("--{} needs --schedule plateau, got {}", name, to_string(schedule)));
    }
  }
  if (options.given("min-lr") && schedule == Schedule::kConstant) {
    throw UsageError("--min-lr needs --schedule cosine or plateau, got constant");
  }
}

// Puts the checkpoint to resume in place of `auto`, or nothing where there is none yet.
void resolve_resume(Options& options) {
  if (!options.given("resume") || options.text("resume") != "auto") {
    return;
  }
  if (!options.given("save")) {
    throw UsageError("--resume auto needs --save, which names the checkpoint");
  }
  const auto path = options.path("save");
  const bool is_there = std::filesystem::exists(path);
  options.replace("resume", is_there ? std::optional(path) : std::nullopt);
  for (const char* name : {"init-from", "add-tokens"}) {
    if (is_there && options.given(name)) {  // it began with that
      options.replace(name, std::nullopt);
    }
  }
}

}  // namespace

void add_training_options(Options& options, const TrainOptions& defaults, OptionNames without) {
  add_corpus_options(options);
  options.value("valid", "text to validate on: a share of the corpus, at its end, or a file",
                "SHARE|FILE");
  options.group("Model").fields(ModelConfig{});
  options.group("Computing").fields(Compute{});
  options.group("Batch").fields(DataOptions{});
  options.group("Training").fields(defaults, without);
  add_machine_options(options);
}

void read_training(const Options& options, ModelConfig& config, TrainRecord& record) {
  read_model(options, config, record.compute);
  check_graph(options, record.compute.graph);
  read_corpus_options(options, record.corpus);
  options.read(record.data);
  check(record.data);
  options.read(record.options);
  check(record.options);
  check_effect(options, record.options);
  if (options.has("valid")) {
    valid_share(options);
  }
  check_machine_options(options);
}

Options declare_train_options() {
  Options options("train",
                  "Trains a model on a text, prints its perplexity and continues prompts.");
  add_training_options(options);
  add_rank_options(options);
  add_file_options(options);
  return options;
}

void restore_settings(Options& options, const TrainRecord& record) {
  std::map<std::string, std::vector<std::string>> values;
  for (const auto& [name, value] : record.settings) {
    values[name] = {value};
  }
  if (!record.texts.empty()) {
    values["text"] = record.texts;
  }
  if (record.valid_share > 0) {
    values["valid"] = {formatted("{}", record.valid_share)};
  } else if (!record.valid_text.empty()) {
    values["valid"] = {record.valid_text};
  }
  options.restore(std::move(values));
}

TrainCheckpoints load_checkpoints(Options& options) {
  resolve_resume(options);
  TrainCheckpoints checkpoints;
  if (options.given("init-from")) {
    if (options.given("resume")) {
      throw UsageError("--init-from begins a new training, --resume continues one: choose one");
    }
    checkpoints.initial = load_checkpoint(options.path("init-from"));
    return checkpoints;
  }
  if (options.is_set("add-tokens")) {
    throw UsageError("--add-tokens needs --init-from");
  }
  if (!options.given("resume")) {
    return checkpoints;
  }
  checkpoints.resumed = load_checkpoint(options.path("resume"));
  if (!checkpoints.resumed->training) {
    throw Error(formatted(
        "{}: holds a model alone, no training to resume; --init-from begins a new one with it",
        options.path("resume")));
  }
  restore_settings(options, *checkpoints.resumed->training);
  return checkpoints;
}

TrainRequest read_train_request(const Options& options, const TrainCheckpoints& checkpoints) {
  const auto& [resumed, initial] = checkpoints;
  TrainRequest request;
  auto& record = request.record;
  if (resumed) {
    request.config = resumed->config;
    record = *resumed->training;
    record.state = {};
  } else if (initial) {
    request.config = initial->config;
    record.corpus.text = initial->text;
  }
  read_training(options, request.config, record);
  record_settings(options, record);
  check_output_files(options);
  if (resumed) {
    check_resumable(*resumed, request.config, record);
  }
  if (initial) {
    for (const char* name : {"min-freq", "vocab-size"}) {
      if (options.given(name)) {
        throw UsageError(
            formatted("--{} has no effect beside --init-from, which brings its vocabulary", name));
      }
    }
    check_can_init(*initial, request.config, record.corpus.text);
  }
  check(request.config, record.compute);
  return request;
}

std::string explain_finished(const Options& options, const TrainOptions& training,
                             const TrainState& state) {
  const int64_t epoch = state.progress.epoch;
  const bool is_out_of_epochs = epoch >= training.epochs;
  auto message =
      is_out_of_epochs
          ? formatted(
                "{}: trained {}, of {} asked for: nothing is left to train; --epochs above {} "
                "goes on",
                options.path("resume"), counted(epoch, "epoch"), training.epochs, epoch)
          : formatted(
                "{}: stopped early after epoch {}, {} after the best, that of epoch {}; "
                "--patience above {}, or 0, goes on",
                options.path("resume"), epoch, counted(state.best.waiting, "validation"),
                state.best.epoch, state.best.waiting);
  // Options that change what is printed, or that ask to go on, are not idle.
  auto idle = options.given_fields<TrainOptions>(
      {is_out_of_epochs ? "epochs" : "patience", "predict", "prompt"});
  for (const char* name : {"save-every", "keep"}) {
    if (options.given(name)) {
      idle.push_back(formatted("--{}", name));
    }
  }
  if (!idle.empty()) {
    message += formatted("; {} changed nothing", joined(idle, ", "));
  }
  return message;
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

}  // namespace unroll::app
