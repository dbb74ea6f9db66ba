#include "unroll/generate.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "base/formatted.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/saved_model.h"
#include "commands/commands.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

void add_generate_options(Options& options) {
  const GenerateOptions defaults;
  options.value("checkpoint", "what train --save wrote (required)", "FILE")
      .list("prompt", "text to continue (required but for --interactive); repeatable", "TEXT")
      .flag("interactive", "continue each line of the standard input, as it comes")
      .value("unknown", "tokens of a prompt that the vocabulary lacks: error, skip or unk", "HOW",
             std::string(to_string(UnknownTokens::kError)))
      .value("length", "tokens to continue by", "N", formatted("{}", TrainOptions{}.predict))
      .list("stop", "end a text before this, if it comes to it; repeatable", "TEXT");
  add_saved_model_option(options);
  options.group("Sampling")
      .value("temperature", "0: the most likely token; 1: drawn as learned; between: closer to it",
             "T", formatted("{}", defaults.temperature))
      .value("top-k", "draw among the K likeliest tokens; 0 is off", "K",
             formatted("{}", defaults.top_k))
      .value("top-p", "draw among the fewest tokens whose probability reaches P; 1 is off", "P",
             formatted("{}", defaults.top_p))
      .value("no-repeat-ngram", "never repeat a run of N tokens of the text; 0 is off", "N",
             formatted("{}", defaults.no_repeat_ngram))
      .value("samples", "texts for each prompt, all of them one batch", "N", "1")
      .value("seed", "of the draws; each line of --interactive has the next one", "N",
             formatted("{}", defaults.seed));
  add_machine_options(options);
}

GenerateOptions read_generate_options(const Options& options) {
  const int64_t seed = options.integer("seed");
  if (seed < 0) {
    throw UsageError(formatted("--seed must be >= 0, got {}", seed));
  }
  GenerateOptions request{.temperature = options.number("temperature"),
                          .seed = static_cast<uint64_t>(seed),
                          .top_k = options.integer("top-k"),
                          .top_p = options.number("top-p"),
                          .no_repeat_ngram = options.integer("no-repeat-ngram"),
                          .stop = options.texts("stop")};
  check(request);
  for (const char* drawing : {"top-k", "top-p"}) {
    if (options.given(drawing) && request.temperature == 0) {
      throw UsageError(
          formatted("--{} {} has nothing to draw; give a --temperature above 0, such as 0.8",
                    drawing, options.text(drawing)));
    }
  }
  return request;
}

int64_t read_length(const Options& options) {
  const int64_t length = options.integer("length");
  if (length < 0) {
    throw UsageError(formatted("--length must be >= 0, got {}", length));
  }
  return length;
}

std::size_t read_samples(const Options& options, double temperature) {
  const int64_t samples = options.integer("samples");
  constexpr int64_t kMostSamples = 100'000;  // all are in memory at once
  if (samples < 1 || samples > kMostSamples) {
    throw UsageError(formatted("--samples must be from 1 to {}, got {}", kMostSamples, samples));
  }
  if (samples > 1 && temperature == 0) {
    throw UsageError(formatted(
        "--samples {} would be the same text {} times; give a --temperature above 0, such as 0.8",
        samples, samples));
  }
  return static_cast<std::size_t>(samples);
}

// Whether someone may be waiting at the other end: of a terminal or a pipe, not of a file.
bool stdout_is_read_at_once() {
  struct stat status {};
  return fstat(STDOUT_FILENO, &status) != 0 || !S_ISREG(status.st_mode);
}

// Bytes, whatever they are; throws once nobody takes them any more.
void write_out(std::string_view text) {
  static const bool at_once = stdout_is_read_at_once();
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (at_once) {
    std::fflush(stdout);
  }
  if (std::ferror(stdout) != 0) {
    throw Error("standard output cannot be written");
  }
}

// Continues prompts and prints each text on a line; a text alone is printed as it grows.
class Writer {
 public:
  Writer(SequenceModel& net, const Vocab& vocab, int64_t length, std::size_t samples)
      : net_(net), vocab_(vocab), length_(length), samples_(samples) {}

  void write(const std::vector<std::string>& prompts, const GenerateOptions& request) {
    if (prompts.size() == 1 && samples_ == 1) {
      write_out(prompts.front());
      unroll::generate(prompts, length_, net_, vocab_, request,
                       [](std::size_t, std::string_view piece) { write_out(piece); });
      write_out("\n");
      return;
    }
    std::vector<std::string> batch;
    for (const auto& prompt : prompts) {
      batch.insert(batch.end(), samples_, prompt);
    }
    for (const auto& text : unroll::generate(batch, length_, net_, vocab_, request)) {
      write_out(text + '\n');
    }
  }

 private:
  SequenceModel& net_;
  const Vocab& vocab_;
  int64_t length_;
  std::size_t samples_;
};

// Continues the lines of the standard input until it ends; a line that cannot be continued is told.
void converse(Writer& writer, GenerateOptions request,
              const std::function<std::string(const std::string&)>& fit) {
  const bool terminal = isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0;
  const auto ask = [&](std::string& line) {
    if (terminal) {
      print_formatted(stderr, "> ");
    }
    return static_cast<bool>(std::getline(std::cin, line));
  };
  for (std::string line; ask(line); ++request.seed) {
    if (line.ends_with('\r')) {
      line.pop_back();
    }
    if (line.empty()) {
      continue;
    }
    std::string prompt;
    try {
      prompt = fit(line);
    } catch (const Error& error) {
      print_error(error.what());
      continue;
    }
    writer.write({prompt}, request);
    std::fflush(stdout);
  }
  if (terminal) {
    print_formatted(stderr, "\n");
  }
}

}  // namespace

void generate(int argc, const char* const* argv) {
  Options options("generate",
                  "Continues a prompt: with the most likely tokens, or with drawn ones.");
  add_generate_options(options);
  if (!options.parse(argc, argv)) {
    return;
  }
  if (!options.given("checkpoint")) {
    throw UsageError("generate: --checkpoint is missing (unroll generate --help)");
  }
  const bool interactive = options.is_set("interactive");
  const auto prompts = options.texts("prompt");
  if (prompts.empty() && !interactive) {
    throw UsageError("generate: --prompt is missing, or --interactive (unroll generate --help)");
  }
  for (const auto& prompt : prompts) {
    if (prompt.empty()) {
      throw UsageError("prompt must have at least one token, got ''");
    }
  }
  const auto unknown = parse_unknown_tokens(options.text("unknown"));
  const int64_t length = read_length(options);
  auto request = read_generate_options(options);
  const auto samples = read_samples(options, request.temperature);
  const auto kind = read_saved_model_option(options);
  check_machine_options(options);
  const auto path = options.path("checkpoint");

  const auto device = set_up_machine(options);
  const auto checkpoint = load_checkpoint(path);
  const auto fit = [&](const std::string& prompt) {
    return fit_prompt(prompt, checkpoint.text.normalize, checkpoint.vocab, unknown);
  };
  std::vector<std::string> fitted(prompts.size());
  std::transform(prompts.begin(), prompts.end(), fitted.begin(), fit);
  for (auto& stop : request.stop) {
    stop = normalize_stop(stop, checkpoint.text.normalize, checkpoint.text.tokens);
  }
  const auto net = make_saved_model(options, checkpoint, kind, device);
  Writer writer(*net, checkpoint.vocab, length, samples);
  if (!fitted.empty()) {
    writer.write(fitted, request);
  }
  if (interactive) {
    converse(writer, request, fit);
  }
}

}  // namespace unroll::app
