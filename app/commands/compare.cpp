#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/device_name.h"
#include "base/formatted.h"
#include "base/plot_path.h"
#include "cli/configurations.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output_files.h"
#include "cli/report_file.h"
#include "cli/study_display.h"
#include "cli/texts.h"
#include "cli/train_request.h"
#include "cli/train_texts.h"
#include "commands/commands.h"
#include "page/compare_page.h"
#include "report/compare_report.h"
#include "report/visible_text.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/study.h"

namespace unroll::app {
namespace {

const TrainOptions kDefaults{.epochs = 20};

Options declare_compare_options() {
  Options options(
      "compare",
      "Trains models side by side: the scratch, the concise and the fused model from the same "
      "weights, or any configurations that --with and lists describe.");
  add_configuration_options(options);
  options.fields(CompareOptions{});
  add_training_options(options, kDefaults, {"every"});
  options.group("Output").value("plot", "draw the perplexities of the first seed", "FILE.svg|.png");
  add_report_option(options);
  options.flag("json", "print one JSON object as the result")
      .flag("quiet", "print nothing but the result");
  return options;
}

// What is asked for, as far as the options alone show it.
struct CompareRequest {
  CompareOptions compare;
  std::vector<AskedConfiguration> configurations;
  bool of_one_model = false;  // its implementations are compared
};

// Which text a configuration learns from, and how it is read.
std::string text_key(const AskedConfiguration& asked) {
  std::set<std::string> names{"text", "valid", "index"};
  const CorpusOptions any;
  CorpusOptions::fields(any, [&](const auto&, const Field& field) { names.emplace(field.name); });
  std::string key;
  for (const auto& [name, value] : asked.options.arguments()) {
    if (names.contains(name)) {
      key += formatted("{}={}\n", name, value);
    }
  }
  return key;
}

// All but the text.
Configuration without_text(const AskedConfiguration& asked) {
  const auto& options = asked.options;
  return {.name = asked.name,
          .setup = {asked.config, asked.record.compute},
          .data = asked.record.data,
          .train = asked.record.options,
          .threads = options.has("threads") ? options.integer("threads") : 0};
}

// Throws UsageError when what is written is also read, by a configuration or by all.
void check_files(const Options& options, const std::vector<AskedConfiguration>& configurations) {
  check_distinct_files(options, {"plot", "report"});
  std::set<std::string> streams;
  for (const auto& asked : configurations) {
    check_distinct_files(asked.options, {"text", "valid", "index"});
    for (const char* written : {"plot", "report"}) {
      for (const char* read : {"text", "valid", "index"}) {
        if (options.given(written)) {
          check_apart(asked.options, read, {options.path(written)},
                      formatted("where --{} is to be saved", written));
        }
      }
    }
    const auto texts = asked.options.paths("text");
    if (std::find(texts.begin(), texts.end(), kStandardInput) != texts.end()) {
      streams.insert(text_key(asked));
    }
  }
  if (streams.size() > 1) {
    throw UsageError(
        "--text - can be read in one way: the standard input is read once, and the configurations "
        "read it differently");
  }
}

// What is computed, before the texts are read.
std::vector<Configuration> without_text(const CompareRequest& request) {
  if (request.of_one_model) {
    return implementations_of(without_text(request.configurations.front()));
  }
  std::vector<Configuration> all;
  all.reserve(request.configurations.size());
  for (const auto& asked : request.configurations) {
    all.push_back(without_text(asked));
  }
  return all;
}

CompareRequest read_compare_request(const Options& options) {
  CompareRequest request;
  options.read(request.compare);
  request.configurations = read_configurations(options, kDefaults);
  request.of_one_model = request.configurations.size() == 1;
  if (request.of_one_model) {
    for (const char* name : {"model", "compute"}) {
      if (options.given(name)) {
        throw UsageError(formatted(
            "--{} needs --with or a list to compare with: else the scratch and the concise model "
            "are compared, computed plain and by our kernels",
            name));
      }
    }
  }
  check(without_text(request), request.compare);
  if (options.given("plot")) {
    check_plot_path(options.path("plot"));
  }
  report_path(options);
  check_files(options, request.configurations);
  return request;
}

// Reads each text once, however many configurations learn from it.
class Texts {
 public:
  explicit Texts(bool quiet) : quiet_(quiet) {}

  const TrainTexts& of(AskedConfiguration& asked) {
    const auto [at, is_new] = texts_.try_emplace(text_key(asked));
    auto& texts = at->second;
    if (is_new) {
      texts = load_texts(asked.options, asked.record.corpus, {});
      for (const auto& line : describe_texts(texts, asked.options, {})) {
        quiet_ ? void() : print_note(visible(line) + "\n");
      }
    }
    return texts;
  }

 private:
  bool quiet_;
  std::map<std::string, TrainTexts> texts_;
};

Configuration make_configuration(AskedConfiguration& asked, Texts& all_texts) {
  const auto device = parse_device(asked.options.text("device"));
  require_supported(asked.record.compute, device);
  const auto& texts = all_texts.of(asked);
  const auto& corpus = texts.corpus;
  const auto& options = asked.options;
  const auto share = options.has("valid") ? valid_share(options) : std::nullopt;
  make_loader(options, texts.train, asked.record.data, device,
              share ? formatted("--valid {} leaves ", *share) : "");  // or says what is too short
  auto configuration = without_text(asked);
  configuration.tokens = texts.train;
  configuration.valid = texts.valid;
  configuration.vocab = std::make_shared<const Vocab>(corpus.vocab);
  configuration.characters_per_token =
      static_cast<double>(corpus.characters) / static_cast<double>(corpus.size());
  configuration.device = device;
  configuration.train.prompts = fit_prompts(options, configuration.train.prompts, corpus);
  return configuration;
}

}  // namespace

void compare(int argc, const char* const* argv) {
  auto options = declare_compare_options();
  if (!options.parse(argc, argv)) {
    return;
  }
  auto request = read_compare_request(options);
  set_up_gpu(options.is_set("quiet"));
  if (options.given("plot")) {
    check_writable(options.path("plot"));
  }
  check_report_writable(options);
  Texts texts(options.is_set("quiet"));
  std::vector<Configuration> configurations;
  configurations.reserve(request.configurations.size());
  for (auto& asked : request.configurations) {
    configurations.push_back(make_configuration(asked, texts));
  }
  int64_t most_threads = 0;
  for (const auto& configuration : configurations) {
    most_threads = std::max(most_threads, configuration.threads);
  }
  if (!options.is_set("quiet")) {
    warn_of_threads(most_threads);
  }
  if (request.of_one_model) {
    configurations = implementations_of(configurations.front());
  }
  std::vector<std::string> names;
  names.reserve(configurations.size());
  for (const auto& configuration : configurations) {
    names.push_back(configuration.name);
  }
  StudyDisplay display(options, formatted("Comparing {}", joined(names, ", ")), names,
                       describe(configurations.front().device));
  catch_interrupts();
  const auto comparison = display.run([&] {
    return unroll::compare(
        configurations, request.compare, [&](const Configuration& one, int64_t nth_seed) {
          return display.begin(one.name, nth_seed, one.data.seed + static_cast<uint64_t>(nth_seed),
                               one.train.epochs);
        });
  });
  display.show(options.is_set("json") ? to_json(comparison) + "\n" : table(comparison),
               [&](const Provenance& provenance) { return to_html(comparison, provenance); });
}

}  // namespace unroll::app
