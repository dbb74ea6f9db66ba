#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <string>

#include "base/formatted.h"
#include "cli/message.h"
#include "cli/options.h"
#include "commands/commands.h"
#include "unroll/checkpoint.h"
#include "unroll/compute.h"
#include "unroll/device.h"

namespace unroll::app {
namespace {

void show(const std::string& name, const std::string& value) {
  print_formatted(stdout, "{:<12}{}\n", name, value);
}

void show_build() {
  show("unroll", UNROLL_VERSION);
  show("LibTorch", TORCH_VERSION);
  show("compiler", __VERSION__);
  show("CPU", at::get_cpu_capability());
  std::string precisions;
  for (const auto precision : {Precision::kFp32, Precision::kBf16x3, Precision::kBf16}) {
    if (is_supported(precision)) {
      precisions += (precisions.empty() ? "" : ", ") + std::string(to_string(precision));
    }
  }
  show("precisions", precisions);
  show("threads", formatted("{}", at::get_num_threads()));
  show("device", describe(try_gpu()));
  show("CUDA part", cuda_part_problem().empty() ? "loaded" : cuda_part_problem());
  if (cuda_is_available()) {
    show("on CUDA", cuda_part_problem().empty() ? "fp32, bf16" : "fp32");
  }
}

void show_training(const TrainRecord& record) {
  const auto& [progress, updater, best, history, cpu_generator, cuda_generator] = record.state;
  const auto& options = record.options;
  show("stopped", formatted("after epoch {} of {}{}", progress.epoch, options.epochs,
                            progress.batch > 0 ? formatted(", batch {}", progress.batch) : ""));
  show("optimizer", formatted("{}, lr {}, {}", to_string(options.updater.optimizer),
                              options.updater.lr, to_string(options.schedule.schedule)));
  const auto valid = record.valid_share > 0
                         ? formatted("the last {} of the corpus", record.valid_share)
                         : record.valid_text;
  if (best.epoch > 0 && !valid.empty()) {
    show("validated",
         formatted("on {}, at best {:.3f} after epoch {}", valid, best.perplexity, best.epoch));
  }
  show("compute",
       formatted("{}, {}", to_string(record.compute.backend), to_string(record.compute.precision)));
  show("text", record.texts.empty() ? "the bundled sample" : joined(record.texts, ", "));
  show("build", record.build);
}

void show_checkpoint(const std::string& path) {
  const auto checkpoint = load_checkpoint(path);
  const auto& config = checkpoint.config;
  int64_t parameters = 0;
  for (const auto& [name, weight] : checkpoint.weights) {
    parameters += weight.numel();
  }
  show("checkpoint", path);
  show("model", std::string(to_string(config.model.value())));
  show("cell", config.cell == Cell::kGru
                   ? formatted("gru, reset {} the product", to_string(config.gru_reset.value()))
                   : std::string(to_string(config.cell)));
  show("hidden", formatted("{}", config.hidden));
  show("layers", formatted("{}", config.layers));
  show("parameters", formatted("{}", parameters));
  show("vocabulary",
       formatted("{} tokens by {}, normalised: {}", checkpoint.vocab.size(),
                 to_string(checkpoint.text.tokens), to_string(checkpoint.text.normalize)));
  const bool is_measured = checkpoint.perplexity > 0;
  show("trained", formatted("{} epochs{}", checkpoint.epochs,
                            is_measured ? formatted(", perplexity {:.3f}", checkpoint.perplexity)
                                        : std::string()));
  if (checkpoint.training) {
    show_training(*checkpoint.training);
  }
}

}  // namespace

void info(int argc, const char* const* argv) {
  Options options(
      "info", "Shows what a checkpoint holds, or, without --checkpoint, this build and machine.");
  options.value("checkpoint", "what train --save wrote", "FILE");
  if (!options.parse(argc, argv)) {
    return;
  }
  if (options.given("checkpoint")) {
    show_checkpoint(options.path("checkpoint"));
  } else {
    show_build();
  }
}

}  // namespace unroll::app
