#include <fmt/format.h>

#include <string>
#include <vector>

#include "commands.h"
#include "machine.h"
#include "options.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"
#include "unroll/predict.h"

namespace unroll::app {

void generate(int argc, const char* const* argv) {
  Options options("generate", "Continues a prompt with the most likely tokens.");
  options.value("checkpoint", "what train --save wrote (required)", "FILE")
      .list("prompt", "text to continue (required); repeatable", "TEXT")
      .value("length", "tokens to continue by", "N", fmt::to_string(TrainOptions{}.predict));
  add_machine_options(options);
  if (!options.parse(argc, argv)) {
    return;
  }
  for (const char* required : {"checkpoint", "prompt"}) {
    if (!options.given(required)) {
      throw UsageError(fmt::format("generate: --{} is missing (unroll generate --help)", required));
    }
  }
  const int64_t length = options.integer("length");
  if (length < 0) {
    throw UsageError(fmt::format("--length must be >= 0, got {}", length));
  }
  const auto prompts = options.texts("prompt");
  for (const auto& prompt : prompts) {
    if (prompt.empty()) {
      throw UsageError("prompt must have at least one token, got ''");
    }
  }
  check_machine_options(options);
  const auto path = options.path("checkpoint");

  const auto device = set_up_machine(options);
  const auto checkpoint = load_checkpoint(path);
  const auto fitted = fit_prompts(options, prompts, checkpoint.text.normalize, checkpoint.vocab);
  const auto net = make_model(checkpoint, device);
  for (const auto& text : predict_ch8(fitted, length, *net, checkpoint.vocab)) {
    fmt::print("{}\n", text);
  }
}

}  // namespace unroll::app
