#include "unroll/evaluate.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/formatted.h"
#include "cli/line_scorer.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output_files.h"
#include "cli/report_file.h"
#include "cli/saved_model.h"
#include "cli/score_printer.h"
#include "cli/token_lines.h"
#include "cli/tokens.h"
#include "commands/commands.h"
#include "page/evaluate_page.h"
#include "page/inspection.h"
#include "report/evaluate_report.h"
#include "report/heat_map.h"
#include "report/surprise.h"
#include "unroll/checkpoint.h"
#include "unroll/corpus.h"
#include "unroll/device.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

bool stdout_is_taken_by_tokens(const Options& options) {
  return options.given("per-token") && options.text("per-token") == "-";
}

// How many scores there are.
enum class Scores { kOne, kPerText, kPerLine };

Scores read_scores(const Options& options) {
  const bool per_line = options.is_set("per-line");
  if (!per_line && !options.is_set("per-text")) {
    return Scores::kOne;
  }
  const std::string name = per_line ? "per-line" : "per-text";
  if (per_line && options.is_set("per-text")) {
    throw UsageError("--per-line scores the lines of all texts, --per-text each text: choose one");
  }
  for (const char* of_one : {"per-token", "heat-map", "copied-from", "report"}) {
    if (options.given(of_one)) {
      throw UsageError(formatted("--{} and --{}: the latter is of one text", name, of_one));
    }
  }
  return per_line ? Scores::kPerLine : Scores::kPerText;
}

void check_outputs(const Options& options) {
  const auto color = options.text("color");
  if (color != "auto" && color != "always" && color != "never") {
    throw UsageError(formatted("--color must be auto, always or never, got '{}'", color));
  }
  const bool heat_map = options.is_set("heat-map");
  if (heat_map && color == "never") {
    throw UsageError("--heat-map needs colours, got --color never; --per-token gives the figures");
  }
  if (heat_map && color == "auto") {
    if (!is_terminal(stdout)) {
      throw UsageError(
          "--heat-map needs a terminal; --color always writes its colours into a file or a pipe");
    }
    // https://no-color.org
    if (const char* none = std::getenv("NO_COLOR"); none != nullptr && *none != '\0') {
      throw UsageError("--heat-map needs colours, and NO_COLOR is set; --color always writes them");
    }
  }
  if (heat_map && options.is_set("json")) {
    throw UsageError("--heat-map and --json must not both be written to stdout");
  }
  if (stdout_is_taken_by_tokens(options) && (heat_map || options.is_set("json"))) {
    throw UsageError(formatted("--per-token - and --{} must not both be written to stdout",
                               heat_map ? "heat-map" : "json"));
  }
  for (const char* written : {"per-token", "report"}) {
    for (const char* read : {"checkpoint", "text", "copied-from"}) {
      if (options.given(written)) {
        options.path(written);
        check_distinct_files(options, {read, written});
      }
    }
  }
  check_distinct_files(options, {"per-token", "report"});
}

void print_heat_map(const Tokens& tokens, const std::vector<float>& nats) {
  HeatMap map([](std::string_view shown) { print(stdout, shown); });
  for (int64_t i = 0; i < tokens.size(); ++i) {
    // The replacement character stands for whatever the vocabulary lacks.
    const std::string token = tokens.index(i) == Vocab::unk() ? "\xef\xbf\xbd" : tokens.text(i);
    map.add(tokens.gap(i), token,
            i == 0 ? std::nullopt : std::optional<double>(nats[static_cast<std::size_t>(i)]));
  }
  map.finish();
  print_formatted(stdout, "{}{}\n\n", tokens.text(tokens.size() - 1) == "\n" ? "\n" : "\n\n",
                  heat_map_legend());
}

std::span<const int64_t> span_of(const torch::Tensor& indices) {
  return {indices.const_data_ptr<int64_t>(), static_cast<std::size_t>(indices.numel())};
}

CopyReport find_copy(const std::string& path, const Corpus& sample, const Tokens& tokens,
                     const CorpusOptions& as_trained) {
  CopiedSpanFinder finder(span_of(sample.indices.to(torch::kInt64)));
  const auto source = read_corpus(path, as_trained);
  constexpr int64_t kBlock = 1 << 20;  // not all of a long text in eight bytes a token
  for (int64_t first = 0; first < source.size(); first += kBlock) {
    const int64_t size = std::min(kBlock, source.size() - first);
    finder.feed(span_of(source.indices.narrow(0, first, size).to(torch::kInt64)));
  }
  const auto& span = finder.longest();
  return {.span = span, .source = path, .text = tokens.span(span.sample_start, span.length)};
}

// Those of all tokens but the first, which is not predicted; by byte its bytes.
int64_t predicted_characters(const Corpus& corpus) {
  return corpus.text.tokens == TokenKind::kWord ? corpus.characters - corpus.first_characters
                                                : corpus.size() - 1;
}

Options declare_evaluate_options() {
  Options options("evaluate", "Measures how well a checkpoint predicts a text.");
  options.value("checkpoint", "what train --save wrote (required)", "FILE")
      .list("text",
            "text to predict, read as the training text was (required); - for the standard input; "
            "repeatable",
            "FILE")
      .flag("per-text", "score each text by itself")
      .flag("per-line", "score each line by itself, to rank sentences with")
      .value("copied-from", "find the longest span that the text shares with this file", "FILE");
  add_saved_model_options(options);
  options.group("Row").fields(EvaluateOptions{});
  options.group("Output").value("per-token",
                                "write each token's surprise as a JSON object; - writes to stdout, "
                                "and the result to stderr",
                                "FILE.jsonl");
  add_report_option(options);
  options.flag("heat-map", "print the text coloured by surprise, before the result")
      .value("color",
             "colours of the heat map: auto (only on a terminal, and not with NO_COLOR), always or "
             "never",
             "WHEN", "auto")
      .flag("json", "print the result as one JSON object, or one for each score, on a line")
      .flag("quiet", "print nothing but the result");
  add_machine_options(options);
  return options;
}

// What is asked for, as far as the options alone show it.
struct EvaluateRequest {
  EvaluateOptions rows;
  Scores scores = Scores::kOne;
  std::vector<std::filesystem::path> texts;
  Compute compute;
};

EvaluateRequest read_evaluate_request(const Options& options) {
  options.require({"checkpoint", "text"});
  EvaluateRequest request;
  options.read(request.rows);
  check(request.rows);
  request.texts = options.paths("text");
  if (options.given("copied-from")) {
    options.path("copied-from");
  }
  request.scores = read_scores(options);
  check_outputs(options);
  request.compute = read_saved_model_options(options);
  check_machine_options(options);
  options.path("checkpoint");
  return request;
}

// Measures, keeping each token's surprise in `nats` unless that is null.
Evaluation measure(SequenceModel& net, const Corpus& corpus, const EvaluateOptions& rows,
                   const std::string& name, std::vector<float>* nats) {
  SurpriseCallback keep;
  if (nats != nullptr) {
    nats->resize(static_cast<std::size_t>(corpus.size()));
    keep = [&](int64_t first, std::span<const float> surprise) {
      std::copy(surprise.begin(), surprise.end(), nats->begin() + first);
    };
  }
  try {
    return unroll::evaluate(net, corpus.indices, rows, keep);
  } catch (const Error& error) {
    throw Error(formatted("{}: {}", name, error.what()));
  }
}

void write_token_lines(TokenLines& lines, const Tokens& tokens, const std::vector<float>& nats,
                       TokenKind kind) {
  for (int64_t i = 1; i < tokens.size(); ++i) {
    lines.write(
        surprise_line(i, tokens.text(i), tokens.index(i), nats[static_cast<std::size_t>(i)], kind));
  }
  lines.finish();
}

void print_result(const Options& options, const EvaluateReport& report) {
  if (options.is_set("json")) {
    print_formatted(stdout, "{}\n", to_json(report));
  } else {
    print_text(stdout_is_taken_by_tokens(options) ? stderr : stdout, summary(report));
  }
}

// The page: the text's beginning by surprise, and what the model does with it.
std::string page_of(const EvaluateReport& report, const Checkpoint& checkpoint,
                    const Corpus& corpus, const std::vector<float>& nats,
                    const Provenance& provenance) {
  constexpr int64_t kShown = 4000;
  constexpr int64_t kInspected = 2000;
  const auto first = [&](int64_t most) {
    return corpus.indices.narrow(0, 0, std::min(most, corpus.size()));
  };
  Inspected model{.config = checkpoint.config,
                  .weights = checkpoint.weights,
                  .vocab = checkpoint.vocab,
                  .tokens = first(kInspected)};
  if (const auto& training = checkpoint.training) {
    model.num_steps = training->data.num_steps;
    model.clip = training->options.step.clip;
  }
  return to_html(report, coloured_by_surprise(first(kShown), checkpoint.vocab, nats),
                 inspection(model), provenance);
}

void print_scores(const Options& options, const EvaluateRequest& request, SequenceModel& net,
                  const CorpusOptions& as_trained) {
  ScorePrinter printer(options);
  LineScorer lines(net, as_trained, request.rows, printer);
  for (const auto& path : request.texts) {
    if (request.scores == Scores::kPerLine) {
      lines.score_lines_of(path);
      continue;
    }
    const auto corpus = read_corpus(path, as_trained);
    Score score{.text = text_name(path)};
    if (corpus.size() > 1) {
      score.result = measure(net, corpus, request.rows, score.text, nullptr);
    }
    printer.print(score);
  }
  printer.finish();
  lines.check();
}

}  // namespace

void evaluate(int argc, const char* const* argv) {
  auto options = declare_evaluate_options();
  if (!options.parse(argc, argv)) {
    return;
  }
  const auto request = read_evaluate_request(options);
  const auto device = set_up_machine(options);
  const auto checkpoint = load_checkpoint(options.path("checkpoint"));
  const CorpusOptions as_trained{.text = checkpoint.text,
                                 .max_tokens = 0,
                                 .vocab = std::make_shared<const Vocab>(checkpoint.vocab)};
  if (request.scores != Scores::kOne) {
    const auto net = make_saved_model(options, checkpoint, request.compute, device);
    print_scores(options, request, *net, as_trained);
    return;
  }
  const auto corpus = read_corpus(request.texts, as_trained);
  const auto net = make_saved_model(options, checkpoint, request.compute, device);
  const Tokens tokens(corpus);
  std::optional<TokenLines> lines;
  if (options.given("per-token")) {
    lines.emplace(options.text("per-token"));
  }

  check_report_writable(options);
  const auto page = report_path(options);

  const bool shows_tokens = lines || options.is_set("heat-map") || !page.empty();
  std::vector<float> nats;
  EvaluateReport report{.text = text_name(request.texts),
                        .characters = predicted_characters(corpus),
                        .unknown = corpus.unknown,
                        .tokens = checkpoint.text.tokens};
  report.result = measure(*net, corpus, request.rows, report.text, shows_tokens ? &nats : nullptr);
  if (options.given("copied-from")) {
    report.copied = find_copy(options.path("copied-from"), corpus, tokens, as_trained);
  }

  if (lines) {
    write_token_lines(*lines, tokens, nats, checkpoint.text.tokens);
  }
  if (options.is_set("heat-map")) {
    print_heat_map(tokens, nats);
  }
  print_result(options, report);
  if (!page.empty()) {
    write_report(
        page, page_of(report, checkpoint, corpus, nats, provenance_of(options, describe(device))));
  }
}

}  // namespace unroll::app
