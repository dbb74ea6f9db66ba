#include "cli/options.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "base/formatted.h"
#include "cli/message.h"
#include "cli/progress.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/generate.h"

namespace unroll::app {
namespace {

template <typename T>
T parse_number(const std::string& name, const std::string& value, std::string_view expected) {
  T number{};
  const auto* end = value.data() + value.size();
  const auto [at, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc{} || at != end) {
    throw UsageError(formatted("--{} must be {}, got '{}'", name, expected, value));
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

// The files that an option names.
std::vector<std::filesystem::path> files_of(const Options& options, const std::string& name) {
  if (name == "index" && options.has(name)) {
    return {*read_index_path(options)};
  }
  return options.has(name) ? options.paths(name) : std::vector<std::filesystem::path>{};
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
  lists_.insert(name);
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
    throw UsageError(formatted("{}: {} (unroll {} --help)", command_, error.what(), command_));
  }
  if (result_.count("help") > 0) {
    print_formatted(stdout, "{}", options_.help(groups_));
    return false;
  }
  if (!result_.unmatched().empty()) {
    throw UsageError(formatted("{}: unexpected argument '{}' (unroll {} --help)", command_,
                               result_.unmatched().front(), command_));
  }
  return true;
}

void Options::restore(std::map<std::string, std::vector<std::string>> values) {
  restored_ = std::move(values);
}

std::string Options::text(const std::string& name) const {
  const auto restored = restored_.find(name);
  return given(name) || restored == restored_.end() ? result_[name].as<std::string>()
                                                    : restored->second.front();
}

std::string Options::path(const std::string& name) const {
  auto value = text(name);
  if (value.empty()) {
    throw UsageError(formatted("--{} must name a file, got ''", name));
  }
  return value;
}

std::vector<std::filesystem::path> Options::paths(const std::string& name) const {
  if (!lists_.contains(name)) {
    return {path(name)};
  }
  const auto values = texts(name);
  if (std::find(values.begin(), values.end(), "") != values.end()) {
    throw UsageError(formatted("--{} must name a file, got ''", name));
  }
  return {values.begin(), values.end()};
}

std::vector<std::string> Options::texts(const std::string& name) const {
  if (given(name)) {
    return result_[name].as<std::vector<std::string>>();
  }
  const auto restored = restored_.find(name);
  return restored == restored_.end() ? std::vector<std::string>{} : restored->second;
}

int64_t Options::integer(const std::string& name) const {
  return parse_number<int64_t>(name, text(name), "an integer");
}

double Options::number(const std::string& name) const {
  return parse_number<double>(name, text(name), "a number");
}

std::optional<int64_t> Options::optional_integer(const std::string& name) const {
  return has(name) ? std::optional(integer(name)) : std::nullopt;
}

std::optional<double> Options::optional_number(const std::string& name) const {
  return has(name) ? std::optional(number(name)) : std::nullopt;
}

void add_corpus_options(Options& options) {
  const CorpusOptions defaults;
  options.group("Text")
      .list(
          "text",
          "text to learn from, - for the standard input; repeatable: one after the other (default: "
          "the bundled sample)",
          "FILE")
      .value("max-tokens", "cut the corpus to N tokens; 0 keeps all", "N",
             formatted("{}", defaults.max_tokens))
      .value("tokens", "what a token is: char, word or byte", "KIND",
             std::string(to_string(defaults.text.tokens)))
      .value("normalize", "letters: only a-z and single spaces; none: the text as it is", "HOW",
             std::string(to_string(defaults.text.normalize)))
      .value("invalid-utf8", "stop with an error, or replace by U+FFFD", "HOW",
             std::string(to_string(defaults.text.invalid_utf8)))
      .value("min-freq", "rarer tokens become <unk>", "N", formatted("{}", defaults.min_freq))
      .value("vocab-size", "entries at most, the most frequent; 0 is all", "N",
             formatted("{}", defaults.vocab_size))
      .value("index", "keep the indexed text in a file for the next time; auto: beside the text",
             "auto|FILE");
}

CorpusOptions read_corpus_options(const Options& options) {
  CorpusOptions corpus;
  corpus.max_tokens = options.integer("max-tokens");
  corpus.min_freq = options.integer("min-freq");
  corpus.vocab_size = options.integer("vocab-size");
  corpus.text.tokens = parse_token_kind(options.text("tokens"));
  corpus.text.normalize = parse_normalize(options.text("normalize"));
  corpus.text.invalid_utf8 = parse_invalid_utf8(options.text("invalid-utf8"));
  if (corpus.max_tokens < 0) {
    throw UsageError(
        formatted("--max-tokens must be >= 0 (0 keeps all), got {}", corpus.max_tokens));
  }
  check(corpus);
  const auto texts = options.paths("text");
  if (std::count(texts.begin(), texts.end(), kStandardInput) > 1) {
    throw UsageError("--text - can be given once: the standard input is read once");
  }
  read_index_path(options);
  return corpus;
}

std::optional<std::filesystem::path> read_index_path(const Options& options) {
  if (!options.has("index")) {
    return std::nullopt;
  }
  const auto texts = options.paths("text");
  if (texts.empty()) {
    throw UsageError("--index needs --text: the bundled sample is not worth an index");
  }
  auto index = options.path("index");
  if (index != "auto") {
    return index;
  }
  if (texts.size() > 1 || texts.front() == kStandardInput) {
    throw UsageError(formatted(
        "--index auto lies beside one file, got {}; name a file",
        texts.size() > 1 ? formatted("{} texts", texts.size()) : text_name(texts.front())));
  }
  return index_beside(texts.front());
}

Corpus read_with_hint(const std::function<Corpus()>& read) {
  try {
    return read();
  } catch (const InvalidUtf8Error& error) {
    throw Error(formatted("{} (--invalid-utf8 replace reads on)", error.what()));
  }
}

Corpus load_corpus(const Options& options, const CorpusOptions& corpus) {
  const auto texts = options.paths("text");
  if (texts.empty()) {
    return make_corpus(sample_text(), corpus);
  }
  Progress progress(options.given("quiet"), 0);
  const auto show = [&](const ReadProgress& read) { progress.show(read); };
  const auto index = read_index_path(options);
  return read_with_hint([&] {
    return index ? read_kept_corpus(texts, *index, corpus, show) : read_corpus(texts, corpus, show);
  });
}

SeqDataLoader make_loader(const Options& options, const torch::Tensor& corpus,
                          const DataOptions& data, torch::Device device) {
  try {
    return {corpus, data, device};
  } catch (const Error& error) {
    throw Error(formatted("{}: {}", name_of_text(options), error.what()));
  }
}

std::string name_of_text(const Options& options) {
  const auto texts = options.paths("text");
  return texts.empty() ? "bundled text" : text_name(texts);
}

void add_data_options(Options& options) {
  const DataOptions defaults;
  options.group("Batches")
      .value("sampling", "sequential, random or sequential-reset", "HOW",
             std::string(to_string(defaults.sampling)))
      .value("batch-size", "rows of a batch", "B", formatted("{}", defaults.batch_size))
      .value("num-steps", "tokens of a row", "T", formatted("{}", defaults.num_steps))
      .value("offset", "tokens dropped at the start of every epoch (default: drawn)", "N");
}

DataOptions read_data_options(const Options& options) {
  DataOptions data;
  data.sampling = parse_sampling(options.text("sampling"));
  data.batch_size = options.integer("batch-size");
  data.num_steps = options.integer("num-steps");
  data.offset = options.optional_integer("offset");
  const int64_t seed = options.integer("seed");
  if (seed < 0) {
    throw UsageError(formatted("--seed must be >= 0, got {}", seed));
  }
  data.seed = static_cast<uint64_t>(seed);
  check(data);
  return data;
}

void add_train_options(Options& options, const TrainOptions& defaults) {
  options.group("Training")
      .value("epochs", "passes over the corpus", "N", formatted("{}", defaults.epochs))
      .value("lr", "learning rate", "X", formatted("{}", defaults.lr))
      .value("clip", "bound on the gradient norm; 0 is off", "X", formatted("{}", defaults.clip))
      .value("optimizer", "sgd, adam or adamw", "NAME", std::string(to_string(defaults.optimizer)))
      .value("momentum", "of sgd", "X", formatted("{}", defaults.momentum))
      .value("weight-decay", "share of the weights taken off (default: 0.01 for adamw, else 0)",
             "X")
      .value("schedule", "of the learning rate: constant, cosine, or plateau", "NAME",
             std::string(to_string(defaults.schedule.schedule)))
      .value("warmup", "epochs over which the learning rate rises from 0", "X",
             formatted("{}", defaults.schedule.warmup))
      .value("min-lr", "where cosine ends and plateau stops", "X",
             formatted("{}", defaults.schedule.min_lr))
      .value("lr-decay", "factor of the learning rate on a plateau", "X",
             formatted("{}", defaults.schedule.decay))
      .value("lr-patience", "epochs (validations) without a better one that make a plateau", "N",
             formatted("{}", defaults.schedule.patience))
      .value("on-nonfinite", "a loss or gradient that is not finite: stop, or skip the step", "HOW",
             std::string(to_string(defaults.on_nonfinite)))
      .value("seed", "of the weights and the batches", "N", formatted("{}", DataOptions{}.seed))
      .list("prompt", "text to continue; repeatable (default: 'time traveller', 'traveller')",
            "TEXT")
      .value("predict", "tokens to continue a prompt by", "N", formatted("{}", defaults.predict));
}

TrainOptions read_train_options(const Options& options) {
  TrainOptions train;
  train.epochs = options.integer("epochs");
  train.lr = options.number("lr");
  train.clip = options.number("clip");
  train.optimizer = parse_optimizer(options.text("optimizer"));
  train.momentum = options.number("momentum");
  train.weight_decay = options.optional_number("weight-decay");
  train.schedule = {.schedule = parse_schedule(options.text("schedule")),
                    .warmup = options.number("warmup"),
                    .min_lr = options.number("min-lr"),
                    .decay = options.number("lr-decay"),
                    .patience = options.integer("lr-patience")};
  train.on_nonfinite = parse_on_nonfinite(options.text("on-nonfinite"));
  train.predict = options.integer("predict");
  train.graph = parse_graph_mode(options.text("graph"));
  check_graph(options, train.graph);
  if (options.has("prompt")) {
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

void check_apart(const Options& options, const std::string& name,
                 const std::vector<std::filesystem::path>& others) {
  for (const auto& file : files_of(options, name)) {
    for (const auto& other : others) {
      if (file != kStandardInput && same_file(file, other)) {
        throw UsageError(formatted("--{} must not name '{}', where a checkpoint is to be saved",
                                   name, file.string()));
      }
    }
  }
}

void check_distinct_files(const Options& options, const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (std::size_t j = i + 1; j < names.size(); ++j) {
      for (const auto& one : files_of(options, names[i])) {
        for (const auto& other : files_of(options, names[j])) {
          const bool is_stream = names[i] == "text" && one == kStandardInput;
          if (!is_stream && same_file(one, other)) {
            throw UsageError(formatted("--{} and --{} must name two files, got '{}' for both",
                                       names[i], names[j], other.string()));
          }
        }
      }
    }
  }
}

void add_machine_options(Options& options) {
  options.group("Machine")
      .value("device", "auto, cpu, cuda or cuda:N", "NAME", "auto")
      .value("threads", "threads of the CPU (default: all cores)", "N");
}

void check_graph(const Options& options, GraphMode graph) {
  if (graph == GraphMode::kOn && options.given("graph") && options.text("device") == "cpu") {
    throw UsageError("--graph on captures the work of a CUDA device, got --device cpu");
  }
}

std::string without_graph(const std::string& reason) {
  return formatted("{}; goes on without a graph", reason);
}

void add_graph_option(Options& options) {
  options.value("graph", "capture a step as a CUDA graph and replay it: on, off, or auto (off)",
                "WHEN", std::string(to_string(TrainOptions{}.graph)));
}

}  // namespace unroll::app
