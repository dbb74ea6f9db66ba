#include "unroll/generate.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/saved_model.h"
#include "cli/text_writer.h"
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
      .list("prompt", "text to continue; repeatable (one of these three is required)", "TEXT")
      .value("prompt-file", "continue each line of a file, - for the standard input", "FILE")
      .flag("interactive", "continue each line of the standard input, as it comes")
      .flag("whole-file", "take all of --prompt-file as one prompt")
      .value("unknown", "tokens of a prompt that the vocabulary lacks: error, skip or unk", "HOW",
             std::string(to_string(UnknownTokens::kError)))
      .value("length", "tokens to continue by", "N", formatted("{}", TrainOptions{}.predict));
  add_saved_model_options(options);
  options.group("Sampling")
      .fields(GenerateOptions{})
      .value("samples", "texts for each prompt, computed as one batch", "N", "1");
  options.group("Output")
      .value("separator", R"(printed after each text; \n, \t, \0 and \\ are read as in C)", "TEXT",
             R"(\n)")
      .flag("json", "print one JSON object for each text, on a line")
      .flag("quiet", "print nothing but the texts");
  add_machine_options(options);
  return options;
}

// What is asked for, as far as the options alone show it.
struct GenerateRequest {
  std::vector<std::string> prompts = {};
  bool interactive = false;
  UnknownTokens unknown = UnknownTokens::kError;
  WriterSettings texts = {};
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

std::vector<std::string> read_prompts(const Options& options) {
  auto prompts = options.texts("prompt");
  const bool has_file = options.given("prompt-file");
  if (prompts.empty() && !has_file && !options.is_set("interactive")) {
    throw UsageError(
        "generate: --prompt, --prompt-file or --interactive is missing (unroll generate --help)");
  }
  if (std::find(prompts.begin(), prompts.end(), "") != prompts.end()) {
    throw UsageError("prompt must have at least one token, got ''");
  }
  if (options.is_set("whole-file") && !has_file) {
    throw UsageError("--whole-file needs --prompt-file");
  }
  if (has_file && options.path("prompt-file") == kStandardInput && options.is_set("interactive")) {
    throw UsageError("--prompt-file - and --interactive must not both read the standard input");
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

std::string read_separator(const Options& options) {
  if (options.given("separator") && options.is_set("json")) {
    throw UsageError("--separator and --json: an object is on a line of its own; choose one");
  }
  constexpr std::array<std::pair<char, char>, 4> kEscapes{
      {{'n', '\n'}, {'t', '\t'}, {'0', '\0'}, {'\\', '\\'}}};
  const auto text = options.text("separator");
  std::string separator;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      separator += text[i];
      continue;
    }
    const char next = ++i < text.size() ? text[i] : ' ';
    const auto* escape = std::find_if(kEscapes.begin(), kEscapes.end(),
                                      [&](const auto& one) { return one.first == next; });
    if (escape == kEscapes.end()) {
      throw UsageError(formatted(R"(--separator has \n, \t, \0 and \\ alone, got '{}')", text));
    }
    separator += escape->second;
  }
  return separator;
}

GenerateRequest read_generate_request(const Options& options) {
  options.require({"checkpoint"});
  GenerateRequest request{.interactive = options.is_set("interactive")};
  request.prompts = read_prompts(options);
  request.unknown = parse_enum<UnknownTokens>(options.text("unknown"));
  request.texts.length = options.integer("length");
  require_in("--length", request.texts.length, at_least(0));
  request.options = read_generate_options(options);
  request.texts.samples = read_samples(options, request.options.temperature);
  request.texts.separator = read_separator(options);
  request.texts.json = options.is_set("json");
  request.compute = read_saved_model_options(options);
  check_machine_options(options);
  options.path("checkpoint");
  return request;
}

using Fit = std::function<std::string(const std::string&)>;

// The prompt of a line, or an error that says which line.
std::string fit_line(const Fit& fit, int64_t number, std::string_view line) {
  if (line.empty()) {
    throw Error(formatted("line {}: is empty, expected a prompt", number));
  }
  try {
    return fit(std::string(line));
  } catch (const Error& error) {
    throw Error(formatted("line {}: {}", number, error.what()));
  }
}

// Adds the prompts of a file: all are read before the first is continued.
void read_prompt_file(const std::string& path, NulBytes nul_bytes, bool is_one, const Fit& fit,
                      std::vector<std::string>& prompts) {
  try {
    if (is_one) {
      std::string text;
      read_blocks(path, nul_bytes, [&](std::string_view block) { text += block; });
      prompts.push_back(fit(text));
    } else {
      read_lines(path, nul_bytes, [&](int64_t number, std::string_view line) {
        prompts.push_back(fit_line(fit, number, line));
      });
    }
  } catch (const Error& error) {
    const std::string message = error.what();
    const auto name = text_name(path) + ": ";
    throw Error(message.starts_with(name) ? message : name + message);
  }
}

// Continues the lines of the standard input, as they come, until it ends. What cannot be continued
// gets a message.
class Conversation {
 public:
  Conversation(TextWriter& writer, GenerateOptions options, Fit fit)
      : writer_(writer), options_(std::move(options)), fit_(std::move(fit)) {}

  // Throws Error at the end when a line could not be continued.
  void run() {
    LineCutter lines;
    const auto answer = [this](std::string_view line) {
      reply(line);
      ask();
    };
    std::array<char, 1 << 16> buffer{};
    ask();
    while (true) {
      const auto size = ::read(STDIN_FILENO, buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) {
        continue;
      }
      if (size < 0) {
        throw Error(formatted("standard input: cannot be read: {}", std::strerror(errno)));
      }
      if (size == 0) {
        break;
      }
      lines.feed({buffer.data(), static_cast<std::size_t>(size)}, answer);
    }
    lines.finish(answer);
    if (terminal_) {
      print_note("\n");
    }
    if (failed_ > 0) {
      throw Error(formatted("{} of {} could not be continued", failed_, counted(number_, "line")));
    }
  }

 private:
  void ask() const {
    if (terminal_) {
      print_note("> ");
    }
  }

  // Each line takes the next seed.
  void reply(std::string_view line) {
    ++number_;
    if (!line.empty() || !terminal_) {
      std::string prompt;
      try {
        prompt = fit_line(fit_, number_, line);
      } catch (const Error& error) {
        print_error(error.what());
        ++failed_;
      }
      if (!prompt.empty()) {
        writer_.write({prompt}, options_);
        std::fflush(stdout);
      }
    }
    ++options_.seed;
  }

  TextWriter& writer_;
  GenerateOptions options_;
  Fit fit_;
  bool terminal_ = isatty(STDIN_FILENO) == 1 && is_terminal(stderr);
  int64_t number_ = 0;
  int64_t failed_ = 0;
};

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
    return fit_prompt(prompt, text, checkpoint.vocab, request.unknown);
  };
  std::transform(request.prompts.begin(), request.prompts.end(), request.prompts.begin(), fit);
  for (auto& stop : request.options.stop) {
    stop = normalize_stop(stop, text.normalize, text.tokens);
  }
  if (options.given("prompt-file")) {
    read_prompt_file(options.path("prompt-file"), nul_bytes_of(text), options.is_set("whole-file"),
                     fit, request.prompts);
  }
  const auto net = make_saved_model(options, checkpoint, request.compute, device);
  TextWriter writer(*net, checkpoint.vocab, request.texts);
  if (!request.prompts.empty()) {
    writer.write(request.prompts, request.options);
  }
  if (request.interactive) {
    Conversation(writer, request.options, fit).run();
  }
}

}  // namespace unroll::app
