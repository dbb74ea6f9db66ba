#include "options.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <system_error>

#include "unroll/error.h"
#include "unroll/prompt.h"
#include "unroll/sample.h"

namespace unroll::app {
namespace {

template <typename T>
T parse_number(const std::string& name, const std::string& value, std::string_view expected) {
  T number{};
  const auto* end = value.data() + value.size();
  const auto [at, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc{} || at != end) {
    throw UsageError(fmt::format("--{} must be {}, got '{}'", name, expected, value));
  }
  return number;
}

// Whether both lead to one file, there already or not.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  namespace fs = std::filesystem;
  std::error_code error;
  return fs::weakly_canonical(fs::absolute(a), error) ==
             fs::weakly_canonical(fs::absolute(b), error) ||
         fs::equivalent(a, b, error);
}

}  // namespace

Options::Options(const std::string& command, const std::string& usage)
    : options_("unroll " + command, usage), command_(command) {
  options_.set_width(100).custom_help("[options]");
}

Options& Options::group(const std::string& name) {
  group_ = name;
  groups_.push_back(name);
  return *this;
}

Options& Options::value(const std::string& name, const std::string& help,
                        const std::string& placeholder, const std::string& fallback) {
  auto value = cxxopts::value<std::string>();
  if (!fallback.empty()) {
    value->default_value(fallback);
  }
  options_.add_options(group_)(name, help, value, placeholder);
  return *this;
}

Options& Options::list(const std::string& name, const std::string& help,
                       const std::string& placeholder) {
  options_.add_options(group_)(name, help, cxxopts::value<std::vector<std::string>>(), placeholder);
  return *this;
}

Options& Options::flag(const std::string& name, const std::string& help) {
  options_.add_options(group_)(name, help, cxxopts::value<bool>());
  return *this;
}

bool Options::parse(int argc, const char* const* argv) {
  options_.add_options()("h,help", "show this help");
  try {
    result_ = options_.parse(argc, argv);
  } catch (const cxxopts::exceptions::exception& error) {
    throw UsageError(fmt::format("{}: {} (unroll {} --help)", command_, error.what(), command_));
  }
  if (result_.count("help") > 0) {
    fmt::print("{}", options_.help(groups_));
    return false;
  }
  if (!result_.unmatched().empty()) {
    throw UsageError(fmt::format("{}: unexpected argument '{}' (unroll {} --help)", command_,
                                 result_.unmatched().front(), command_));
  }
  return true;
}

std::string Options::path(const std::string& name) const {
  auto value = text(name);
  if (value.empty()) {
    throw UsageError(fmt::format("--{} must name a file, got ''", name));
  }
  return value;
}

std::vector<std::string> Options::texts(const std::string& name) const {
  return given(name) ? result_[name].as<std::vector<std::string>>() : std::vector<std::string>{};
}

int64_t Options::integer(const std::string& name) const {
  return parse_number<int64_t>(name, text(name), "an integer");
}

double Options::number(const std::string& name) const {
  return parse_number<double>(name, text(name), "a number");
}

std::optional<int64_t> Options::optional_integer(const std::string& name) const {
  return given(name) ? std::optional(integer(name)) : std::nullopt;
}

void add_corpus_options(Options& options) {
  const CorpusOptions defaults;
  options.group("Text")
      .value("text", "text to learn from (default: the bundled sample)", "FILE")
      .value("max-tokens", "cut the corpus to N tokens; 0 keeps all", "N",
             fmt::to_string(defaults.max_tokens))
      .value("tokens", "what a token is: char, word or byte", "KIND",
             std::string(to_string(defaults.text.tokens)))
      .value("normalize", "letters: only a-z and single spaces; none: the text as it is", "HOW",
             std::string(to_string(defaults.text.normalize)));
}

CorpusOptions read_corpus_options(const Options& options) {
  CorpusOptions corpus;
  corpus.max_tokens = options.integer("max-tokens");
  corpus.text.tokens = parse_token_kind(options.text("tokens"));
  corpus.text.normalize = parse_normalize(options.text("normalize"));
  if (corpus.max_tokens < 0) {
    throw UsageError(
        fmt::format("--max-tokens must be >= 0 (0 keeps all), got {}", corpus.max_tokens));
  }
  return corpus;
}

Corpus load_corpus(const Options& options, const CorpusOptions& corpus) {
  return options.given("text") ? read_corpus(options.path("text"), corpus)
                               : make_corpus(sample_text(), corpus);
}

SeqDataLoader make_loader(const Options& options, const Corpus& corpus, const DataOptions& data,
                          torch::Device device) {
  try {
    return {corpus.indices, data, device};
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", options.given("text") ? options.text("text") : "bundled text",
                            error.what()));
  }
}

void add_data_options(Options& options) {
  const DataOptions defaults;
  options.group("Batches")
      .value("sampling", "sequential, random or sequential-reset", "HOW",
             std::string(to_string(defaults.sampling)))
      .value("batch-size", "rows of a batch", "B", fmt::to_string(defaults.batch_size))
      .value("num-steps", "tokens of a row", "T", fmt::to_string(defaults.num_steps))
      .value("offset", "tokens dropped at the start of every epoch (default: drawn)", "N");
}

DataOptions read_data_options(const Options& options) {
  DataOptions data;
  data.sampling = parse_sampling(options.text("sampling"));
  data.batch_size = options.integer("batch-size");
  data.num_steps = options.integer("num-steps");
  data.offset = options.optional_integer("offset");
  data.seed = static_cast<uint64_t>(options.integer("seed"));
  check(data);
  return data;
}

void add_train_options(Options& options, const TrainOptions& defaults) {
  options.group("Training")
      .value("epochs", "passes over the corpus", "N", fmt::to_string(defaults.epochs))
      .value("lr", "learning rate", "X", fmt::to_string(defaults.lr))
      .value("clip", "bound on the gradient norm; 0 is off", "X", fmt::to_string(defaults.clip))
      .value("optimizer", "sgd, adam or adamw", "NAME", std::string(to_string(defaults.optimizer)))
      .value("seed", "of the weights and the batches", "N", fmt::to_string(DataOptions{}.seed))
      .list("prompt", "text to continue; repeatable (default: 'time traveller', 'traveller')",
            "TEXT")
      .value("predict", "tokens to continue a prompt by", "N", fmt::to_string(defaults.predict));
}

TrainOptions read_train_options(const Options& options) {
  TrainOptions train;
  train.epochs = options.integer("epochs");
  train.lr = options.number("lr");
  train.clip = options.number("clip");
  train.optimizer = parse_optimizer(options.text("optimizer"));
  train.predict = options.integer("predict");
  if (options.given("prompt")) {
    train.prompts = options.texts("prompt");
  }
  check(train);
  return train;
}

std::vector<std::string> fit_prompts(const Options& options, std::vector<std::string> prompts,
                                     Normalize normalize, const Vocab& vocab) {
  for (auto& prompt : prompts) {
    prompt = normalize_prompt(prompt, normalize);
    if (options.given("prompt")) {
      check_prompt(prompt, vocab);
    }
  }
  return prompts;
}

void check_distinct_files(const Options& options, const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (std::size_t j = i + 1; j < names.size(); ++j) {
      if (options.given(names[i]) && options.given(names[j]) &&
          same_file(options.path(names[i]), options.path(names[j]))) {
        throw UsageError(fmt::format("--{} and --{} must name two files, got '{}' for both",
                                     names[i], names[j], options.path(names[j])));
      }
    }
  }
}

void add_machine_options(Options& options) {
  options.group("Machine")
      .value("device", "auto, cpu, cuda or cuda:N", "NAME", "auto")
      .value("threads", "threads of the CPU (default: all cores)", "N");
}

}  // namespace unroll::app
