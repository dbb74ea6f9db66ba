#include "unroll/evaluate.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/formatted.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output_files.h"
#include "cli/saved_model.h"
#include "commands/commands.h"
#include "study/heat_map.h"
#include "study/report.h"
#include "unroll/checkpoint.h"
#include "unroll/corpus.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

bool stdout_is_taken_by_tokens(const Options& options) {
  return options.given("per-token") && options.text("per-token") == "-";
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
  if (heat_map && color == "auto" && isatty(STDOUT_FILENO) == 0) {
    throw UsageError(
        "--heat-map needs a terminal; --color always writes its colours into a file or a pipe");
  }
  if (heat_map && options.is_set("json")) {
    throw UsageError("--heat-map and --json must not both be written to stdout");
  }
  if (stdout_is_taken_by_tokens(options) && (heat_map || options.is_set("json"))) {
    throw UsageError(formatted("--per-token - and --{} must not both be written to stdout",
                               heat_map ? "heat-map" : "json"));
  }
  if (!options.given("per-token")) {
    return;
  }
  options.path("per-token");
  for (const char* read : {"checkpoint", "text", "copied-from"}) {
    check_distinct_files(options, {read, "per-token"});
  }
}

// JSON lines into a file or to stdout.
class TokenLines {
 public:
  explicit TokenLines(const std::string& path) : path_(path) {
    if (path_ == "-") {
      return;
    }
    file_.open(path_, std::ios::binary);
    check();
  }

  void write(const std::string& line) {
    if (path_ == "-") {
      print_formatted(stdout, "{}\n", line);
    } else {
      file_ << line << '\n';
    }
  }

  void finish() {
    file_.flush();
    check();
  }

 private:
  void check() const {
    if (!file_) {
      throw Error(formatted("{}: cannot be written", path_));
    }
  }

  std::string path_;
  std::ofstream file_;
};

// A text as the model reads it, token by token; a surprise for all but the first.
class Tokens {
 public:
  explicit Tokens(const Corpus& corpus) : corpus_(corpus), vocab_(corpus.vocab) {}

  int64_t size() const { return corpus_.size(); }
  int64_t index(int64_t i) const {
    const auto& indices = corpus_.indices;
    return indices.scalar_type() == torch::kUInt8 ? indices.const_data_ptr<uint8_t>()[i]
                                                  : indices.const_data_ptr<int32_t>()[i];
  }
  const std::string& text(int64_t i) const { return vocab_.to_token(index(i)); }

  // What stands between token i and the one before it.
  std::string_view gap(int64_t i) const {
    return i > 0 ? gap_between(text(i - 1), text(i), vocab_.kind()) : "";
  }

  std::string span(int64_t start, int64_t length) const {
    std::string joined;
    for (int64_t i = start; i < start + length; ++i) {
      joined += i == start ? "" : gap(i);
      joined += text(i);
    }
    return joined;
  }

 private:
  const Corpus& corpus_;
  const Vocab& vocab_;
};

void print_heat_map(const Tokens& tokens, const std::vector<float>& nats) {
  for (int64_t i = 0; i < tokens.size(); ++i) {
    // The replacement character stands for whatever the vocabulary lacks.
    const std::string token = tokens.index(i) == Vocab::unk() ? "\xef\xbf\xbd" : tokens.text(i);
    print_formatted(stdout, "{}{}", tokens.gap(i),
                    i == 0 ? heat_map(token) : heat_map(token, nats[static_cast<std::size_t>(i)]));
  }
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
      .value("copied-from", "find the longest span that the text shares with this file", "FILE");
  add_saved_model_options(options);
  options.group("Row")
      .value("batch-size",
             "rows read side by side; each begins with a state of zeros (default: one for each "
             "4096 tokens, at most 32)",
             "B")
      .fields(EvaluateOptions{}, {"batch-size"});
  options.group("Output")
      .value("per-token",
             "write each token's surprise as a JSON object; - writes to stdout, "
             "and the result to stderr",
             "FILE.jsonl")
      .flag("heat-map", "print the text coloured by surprise, before the result")
      .value("color", "colours of the heat map: auto (only on a terminal), always or never", "WHEN",
             "auto")
      .flag("json", "print the result as one JSON object");
  add_machine_options(options);
  return options;
}

// What is asked for, as far as the options alone show it.
struct EvaluateRequest {
  EvaluateOptions rows;
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
    print_formatted(stdout_is_taken_by_tokens(options) ? stderr : stdout, "{}", summary(report));
  }
}

}  // namespace

void evaluate(int argc, const char* const* argv) {
  auto options = declare_evaluate_options();
  if (!options.parse(argc, argv)) {
    return;
  }
  auto request = read_evaluate_request(options);
  const auto device = set_up_machine(options);
  const auto checkpoint = load_checkpoint(options.path("checkpoint"));
  const CorpusOptions as_trained{.text = checkpoint.text,
                                 .max_tokens = 0,
                                 .vocab = std::make_shared<const Vocab>(checkpoint.vocab)};
  const auto corpus = read_corpus(request.texts, as_trained);
  const auto net = make_saved_model(options, checkpoint, request.compute, device);
  const Tokens tokens(corpus);
  std::optional<TokenLines> lines;
  if (options.given("per-token")) {
    lines.emplace(options.text("per-token"));
  }

  if (!options.given("batch-size")) {
    request.rows.batch_size = default_batch_size(tokens.size());
  }
  const bool shows_tokens = lines || options.is_set("heat-map");
  std::vector<float> nats;
  EvaluateReport report{.text = text_name(request.texts),
                        .characters = predicted_characters(corpus),
                        .unknown = corpus.unknown,
                        .tokens = checkpoint.text.tokens};
  report.result = measure(*net, corpus, request.rows, report.text, shows_tokens ? &nats : nullptr);
  report.batch_size = std::min(request.rows.batch_size, report.result.tokens);
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
}

}  // namespace unroll::app
