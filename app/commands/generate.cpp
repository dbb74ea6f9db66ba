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
#include "unroll/train.h"

namespace unroll::app {
namespace {

Options declare_generate_options() {
  Options options("generate",
                  "Continues a prompt: with the most likely tokens, or with drawn ones.");
  options.value("checkpoint", "what train --save wrote (required)", "FILE")
      .list("prompt", "text to continue; repeatable (required without --interactive)", "TEXT")
      .flag("interactive", "continue each line of the standard input, as it comes")
      .value("unknown", "tokens of a prompt that the vocabulary lacks: error, skip or unk", "HOW",
             std::string(to_string(UnknownTokens::kError)))
      .value("length", "tokens to continue by", "N", formatted("{}", TrainOptions{}.predict));
  add_saved_model_options(options);
  options.group("Sampling")
      .fields(GenerateOptions{})
      .value("samples", "texts for each prompt, computed as one batch", "N", "1");
  add_machine_options(options);
  return options;
}

// What is asked for, as far as the options alone show it.
struct GenerateRequest {
  std::vector<std::string> prompts = {};
  bool interactive = false;
  UnknownTokens unknown = UnknownTokens::kError;
  int64_t length = 0;
  std::size_t samples = 1;
  GenerateOptions options = {};
  Compute compute = {};
};

GenerateOptions read_generate_options(const Options& options) {
  GenerateOptions request;
  options.read(request);
  check(request);
  for (const char* drawing : {"top-k", "top-p"}) {
    if (options.given(drawing) && request.temperature == 0) {
      throw UsageError(formatted("--{} {} needs a --temperature above 0, such as 0.8", drawing,
                                 options.text(drawing)));
    }
  }
  return request;
}

std::vector<std::string> read_prompts(const Options& options, bool interactive) {
  auto prompts = options.texts("prompt");
  if (prompts.empty() && !interactive) {
    throw UsageError("generate: --prompt or --interactive is missing (unroll generate --help)");
  }
  for (const auto& prompt : prompts) {
    if (prompt.empty()) {
      throw UsageError("prompt must have at least one token, got ''");
    }
  }
  return prompts;
}

std::size_t read_samples(const Options& options, double temperature) {
  const int64_t samples = options.integer("samples");
  require_in("--samples", samples, from_to(1, 100'000));  // all are in memory at once
  if (samples > 1 && temperature == 0) {
    throw UsageError(formatted(
        "--samples {} would be the same text {} times; give a --temperature above 0, such as 0.8",
        samples, samples));
  }
  return static_cast<std::size_t>(samples);
}

GenerateRequest read_generate_request(const Options& options) {
  options.require({"checkpoint"});
  GenerateRequest request{.interactive = options.is_set("interactive")};
  request.prompts = read_prompts(options, request.interactive);
  request.unknown = parse_enum<UnknownTokens>(options.text("unknown"));
  request.length = options.integer("length");
  require_in("--length", request.length, at_least(0));
  request.options = read_generate_options(options);
  request.samples = read_samples(options, request.options.temperature);
  request.compute = read_saved_model_options(options);
  check_machine_options(options);
  options.path("checkpoint");
  return request;
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

// Continues the lines of the standard input until it ends; a line that cannot be continued gets a
// message.
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
  auto options = declare_generate_options();
  if (!options.parse(argc, argv)) {
    return;
  }
  auto request = read_generate_request(options);
  const auto device = set_up_machine(options);
  const auto checkpoint = load_checkpoint(options.path("checkpoint"));
  const auto& text = checkpoint.text;
  const auto fit = [&](const std::string& prompt) {
    return fit_prompt(prompt, text.normalize, checkpoint.vocab, request.unknown);
  };
  std::transform(request.prompts.begin(), request.prompts.end(), request.prompts.begin(), fit);
  for (auto& stop : request.options.stop) {
    stop = normalize_stop(stop, text.normalize, text.tokens);
  }
  const auto net = make_saved_model(options, checkpoint, request.compute, device);
  Writer writer(*net, checkpoint.vocab, request.length, request.samples);
  if (!request.prompts.empty()) {
    writer.write(request.prompts, request.options);
  }
  if (request.interactive) {
    converse(writer, request.options, fit);
  }
}

}  // namespace unroll::app
