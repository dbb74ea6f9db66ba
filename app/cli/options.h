#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

// A comma belongs to a prompt; only a repeated option makes a list.
#define CXXOPTS_VECTOR_DELIMITER '\0'
// Its regular expressions would need more stack than there is for an argument of 30,000 bytes.
#define CXXOPTS_NO_REGEX
#include <cxxopts.hpp>

#include "unroll/compute.h"
#include "unroll/corpus.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"
#include "unroll/vocab.h"

namespace unroll::app {

/// One command's options: declared once, with the library's defaults, then read.
/// Every reader throws UsageError that names the option, its value and what was expected.
class Options {
 public:
  /// `usage` is the line below the command's name in its help.
  Options(const std::string& command, const std::string& usage);

  /// The options that follow stand under this heading in the help.
  Options& group(const std::string& name);
  /// An option with a value; a default only to show goes into `help`.
  Options& value(const std::string& name, const std::string& help, const std::string& placeholder,
                 const std::string& fallback = "");
  /// An option that may be repeated.
  Options& list(const std::string& name, const std::string& help, const std::string& placeholder);
  /// An option without a value.
  Options& flag(const std::string& name, const std::string& help);

  /// Reads the arguments. False after --help, which it prints.
  bool parse(int argc, const char* const* argv);

  /// Values for options that are not given: those of the training to go on with.
  void restore(std::map<std::string, std::vector<std::string>> values);

  /// Whether the option was given, and not left to its default.
  bool given(const std::string& name) const { return result_.count(name) > 0; }
  /// Whether the option was given or restored.
  bool has(const std::string& name) const { return given(name) || restored_.contains(name); }
  bool is_set(const std::string& name) const { return result_[name].as<bool>(); }
  std::string text(const std::string& name) const;
  /// A file's path: not empty.
  std::string path(const std::string& name) const;
  /// The files that an option names, once or repeated: none of them empty.
  std::vector<std::filesystem::path> paths(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  double number(const std::string& name) const;
  std::optional<int64_t> optional_integer(const std::string& name) const;
  std::optional<double> optional_number(const std::string& name) const;

 private:
  cxxopts::Options options_;
  cxxopts::ParseResult result_;
  std::string command_;
  std::map<std::string, std::vector<std::string>> restored_;
  std::string group_;
  std::set<std::string> lists_;          // the options that may be repeated
  std::vector<std::string> groups_{""};  // in the order of their declaration, as help shows them
};

// Options that several commands share, and what they stand for.

void add_corpus_options(Options& options);
CorpusOptions read_corpus_options(const Options& options);

/// Where --index keeps the indexed text, if it does.
std::optional<std::filesystem::path> read_index_path(const Options& options);

/// The text that the options name, the bundled one by default; shows on stderr how far a long one
/// has been read, unless --quiet.
Corpus load_corpus(const Options& options, const CorpusOptions& corpus);

/// What `read` gives, a text read by these options; its error tells the option that helps.
Corpus read_with_hint(const std::function<Corpus()>& read);

/// The batches of a corpus. Throws Error, naming the text, when it is too short for one.
SeqDataLoader make_loader(const Options& options, const torch::Tensor& corpus,
                          const DataOptions& data, torch::Device device);

/// What messages call the text.
std::string name_of_text(const Options& options);

void add_data_options(Options& options);
DataOptions read_data_options(const Options& options);

/// `defaults` as the command has them.
void add_train_options(Options& options, const TrainOptions& defaults);
TrainOptions read_train_options(const Options& options);

/// The prompts as the training text was written. Throws UsageError or Error when one that was
/// given by --prompt does not consist of the vocabulary's tokens.
std::vector<std::string> fit_prompts(const Options& options, std::vector<std::string> prompts,
                                     Normalize normalize, const Vocab& vocab);

/// Throws UsageError, naming both, when a file of this option is one of `others`.
void check_apart(const Options& options, const std::string& name,
                 const std::vector<std::filesystem::path>& others);

/// Throws UsageError, naming both, when two of these options name the same file.
void check_distinct_files(const Options& options, const std::vector<std::string>& names);

void add_machine_options(Options& options);
/// --graph; read_train_options reads it.
void add_graph_option(Options& options);
/// Throws UsageError when --graph and --device, both given, contradict each other.
void check_graph(const Options& options, GraphMode graph);
/// What is said when steps cannot be captured.
std::string without_graph(const std::string& reason);

}  // namespace unroll::app
