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
  Options options("generate",
                  "Continues a prompt: with the most likely tokens, or with drawn ones.");
  options.value("checkpoint", "what train --save wrote (required)", "FILE")
      .list("prompt", "text to continue (required); repeatable", "TEXT")
      .value("length", "tokens to continue by", "N", fmt::to_string(TrainOptions{}.predict));
  options.group("Sampling")
      .value("temperature", "0: the most likely token; 1: drawn as learned; between: closer to it",
             "T", "0")
      .value("samples", "texts for each prompt, all of them one batch", "N", "1")
      .value("seed", "of the draws", "N", "0");
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
  const int64_t seed = options.integer("seed");
  if (seed < 0) {
    throw UsageError(fmt::format("--seed must be >= 0, got {}", seed));
  }
  const GenerateOptions request{.temperature = options.number("temperature"),
                                .seed = static_cast<uint64_t>(seed)};
  check(request);
  const int64_t samples = options.integer("samples");
  constexpr int64_t kMostSamples = 100'000;  // all are in memory at once
  if (samples < 1 || samples > kMostSamples) {
    throw UsageError(fmt::format("--samples must be from 1 to {}, got {}", kMostSamples, samples));
  }
  if (samples > 1 && request.temperature == 0) {
    throw UsageError(fmt::format(
        "--samples {} would be the same text {} times; give a --temperature above 0, such as 0.8",
        samples, samples));
  }
  check_machine_options(options);
  const auto path = options.path("checkpoint");

  const auto device = set_up_machine(options);
  const auto checkpoint = load_checkpoint(path);
  const auto fitted = fit_prompts(options, prompts, checkpoint.text.normalize, checkpoint.vocab);
  const auto net = make_model(checkpoint, device);
  std::vector<std::string> batch;
  for (const auto& prompt : fitted) {
    batch.insert(batch.end(), static_cast<std::size_t>(samples), prompt);
  }
  for (const auto& text : unroll::generate(batch, length, *net, checkpoint.vocab, request)) {
    fmt::print("{}\n", text);
  }
}

}  // namespace unroll::app
