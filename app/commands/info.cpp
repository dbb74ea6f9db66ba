#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/texts.h"
#include "commands/commands.h"
#include "report/visible_text.h"
#include "study/peak_memory.h"
#include "study/text_survey.h"
#include "unroll/checkpoint.h"
#include "unroll/compute.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/ranks.h"

namespace unroll::app {
namespace {

void show(const std::string& name, const std::string& value) {
  print_text(stdout, formatted("{:<12}{}\n", name, value));
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
  show("ranks", ranks_problem().empty() ? "on c10d, by Gloo" : ranks_problem());
  show("CUDA part", cuda_part_problem().empty() ? "loaded" : cuda_part_problem());
  if (cuda_is_available()) {
    const auto problem = cuda_kernels_problem(try_gpu());
    show("CUDA kernels", problem.empty() ? "compiled when needed" : problem);
    const auto folder = kernel_cache();
    show("kept in", folder.empty() ? "nowhere" : folder.string());
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
  if (const auto initial = record.settings.find("init-from"); initial != record.settings.end()) {
    show("began with", initial->second);
  }
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

// `'e' 120, 't' 97`, the first few of these tokens.
std::string listed(std::span<const std::pair<std::string, int64_t>> tokens) {
  constexpr std::size_t kShown = 8;
  std::string list;
  for (const auto& [token, count] : tokens.first(std::min(tokens.size(), kShown))) {
    list += formatted("{}'{}' {}", list.empty() ? "" : ", ", visible(token), count);
  }
  return list + (tokens.size() > kShown ? ", ..." : "");
}

std::string percent(int64_t part, int64_t whole) {
  return formatted("{:.2g}%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

void show_survey(const TextSurvey& survey, const std::string& name, bool takes_any_byte) {
  show("text", name);
  show("size", formatted("{}, {}, {}, the longest of {}", counted(survey.bytes, "byte"),
                         counted(survey.characters, "character"), counted(survey.lines, "line"),
                         counted(survey.longest_line, "character")));
  if (takes_any_byte) {
    return;
  }
  std::string places;
  for (const auto& place : survey.places) {
    places += formatted("{}{} line {}, byte {} (0x{:02x})", places.empty() ? "" : "; ", place.file,
                        place.line, place.offset, place.byte);
  }
  if (survey.ill_formed + survey.nuls > static_cast<int64_t>(survey.places.size())) {
    places += "; ...";
  }
  if (survey.ill_formed > 0) {
    show("not UTF-8", formatted("{} (--invalid-utf8 replace reads U+FFFD)",
                                counted(survey.ill_formed, "place")));
  }
  if (survey.nuls > 0) {
    show("NUL", formatted("{}, which no text has", counted(survey.nuls, "byte")));
  }
  if (!places.empty()) {
    show("there", places);
  }
}

// Tokens of the whole text, which of them are rare, and which the vocabulary lacks.
void show_tokens(const Corpus& corpus, const Vocab& vocab) {
  const auto& counts = corpus.vocab.token_freqs();  // by falling frequency
  show("tokens",
       formatted("{} by {}, {} different ones, normalised: {}", corpus.text_tokens,
                 to_string(corpus.text.tokens), counts.size(), to_string(corpus.text.normalize)));
  show("vocabulary", formatted("{} entries, <unk> among them", vocab.size()));
  show("frequent", listed(counts));
  const auto once = std::find_if(counts.begin(), counts.end(),
                                 [](const auto& token) { return token.second == 1; });
  show("rare", once == counts.end()
                   ? formatted("none occurs once; the rarest is '{}', {} times",
                               visible(counts.back().first), counts.back().second)
                   : formatted("{} once: {}", counted(counts.end() - once, "token"),
                               listed({once, counts.end()})));
  Vocab::TokenCounts unknown;
  int64_t total = 0;
  for (const auto& token : counts) {
    if (!vocab.contains(token.first)) {
      unknown.push_back(token);
      total += token.second;
    }
  }
  show("unknown", unknown.empty() ? "none"
                                  : formatted("{} ({}) of the tokens, of {}, are <unk>: {}", total,
                                              percent(total, corpus.text_tokens),
                                              counted(unknown.size(), "kind"), listed(unknown)));
}

// What a training with these options would be, and the memory that one takes: two steps are taken.
void show_training_of(const Options& options, const Corpus& corpus, const DataOptions& data,
                      const ModelSetup& setup, const UpdaterOptions& updater,
                      torch::Device device) {
  show("corpus", describe_corpus(options, corpus));
  try {
    const SeqDataLoader train_iter(corpus.indices, data, device);
    const auto memory = measure_training(train_iter, corpus.vocab.size(), setup, updater);
    show("training", formatted("{} batches of {} x {} an epoch; {} of {} units, {} parameters, {}",
                               train_iter.epoch(0).size(), data.batch_size, data.num_steps,
                               to_string(setup.config.cell), setup.config.hidden,
                               parameter_count(setup.config, corpus.vocab.size()),
                               to_string(updater.optimizer)));
    constexpr int64_t kMebi = 1 << 20;
    show("memory",
         formatted("{} MiB at its peak{}, {} MiB of it for model and batches",
                   memory.total() / kMebi, device.is_cpu() ? " in all" : " on " + device.str(),
                   memory.added() / kMebi));
  } catch (const Error& error) {
    show("training", formatted("not possible: {}", error.what()));
  }
}

void declare_text_options(Options& options) {
  options.group("Text")
      .list("text", "text to look at before a training, with train's options; repeatable", "FILE")
      .fields(CorpusOptions{});
  options.group("Training").fields(ModelConfig{}).fields(Compute{}).fields(DataOptions{}, {"seed"});
  options.fields(UpdaterOptions{});
  add_machine_options(options);
}

void show_text(const Options& options) {
  const auto texts = options.paths("text");
  for (const auto& text : texts) {
    std::error_code missing;
    const auto type = std::filesystem::status(text, missing).type();
    if (text == kStandardInput || type == std::filesystem::file_type::fifo) {
      throw UsageError(
          formatted("info reads a text twice: --text must name files, got {}", text.string()));
    }
  }
  if (options.given("checkpoint")) {
    const auto idle = options.first_given_besides(
        {"text", "checkpoint", "max-tokens", "invalid-utf8", "device", "threads"});
    if (!idle.empty()) {
      throw UsageError(
          formatted("--{} has no effect beside --checkpoint, whose vocabulary is looked at", idle));
    }
  }
  CorpusOptions request;
  read_corpus_options(options, request);
  ModelSetup setup;
  read_model(options, setup.config, setup.compute);
  check(setup.config, setup.compute);
  DataOptions data;
  options.read(data);
  check(data);
  UpdaterOptions updater;
  options.read(updater);
  check(updater);
  check_machine_options(options);
  const auto device = set_up_machine(options);
  require_supported(setup.compute, device);
  std::optional<Checkpoint> checkpoint;
  if (options.given("checkpoint")) {
    checkpoint = load_checkpoint(options.path("checkpoint"));
    request.text.tokens = checkpoint->text.tokens;
    request.text.normalize = checkpoint->text.normalize;
  }

  Progress progress(/*quiet=*/false, 0);
  const auto survey = survey_text(texts, [&](const ReadProgress& read) { progress.show(read); });
  progress.clear();
  show_survey(survey, text_name(texts), nul_bytes_of(request.text) == NulBytes::kAllow);
  if (!options.given("invalid-utf8")) {
    request.text.invalid_utf8 = InvalidUtf8::kReplace;  // so that the rest can be shown
  }
  const auto corpus = load_corpus(options, request);
  show_tokens(corpus, checkpoint ? checkpoint->vocab : corpus.vocab);
  if (!checkpoint) {
    show_training_of(options, corpus, data, setup, updater, device);
  }
}

}  // namespace

void info(int argc, const char* const* argv) {
  Options options("info",
                  "Shows what a text holds and what a training on it takes, what a checkpoint "
                  "holds, or, without either, this build and machine.");
  options.value("checkpoint",
                "what train --save wrote; beside --text: whose vocabulary is looked at", "FILE");
  declare_text_options(options);
  if (!options.parse(argc, argv)) {
    return;
  }
  if (options.given("text")) {
    show_text(options);
    return;
  }
  if (const auto idle = options.first_given_besides({"checkpoint"}); !idle.empty()) {
    throw UsageError(formatted("--{} needs --text", idle));
  }
  if (options.given("checkpoint")) {
    show_checkpoint(options.path("checkpoint"));
  } else {
    show_build();
  }
}

}  // namespace unroll::app
