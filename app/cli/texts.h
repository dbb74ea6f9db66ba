#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "unroll/corpus.h"
#include "unroll/seq_data.h"
#include "unroll/vocab.h"

namespace unroll::app {

// The text that a command learns from.

/// --text, --index and how a text is read.
void add_corpus_options(Options& options);

/// Puts what was given into `corpus`. Throws UsageError for what the options alone show to be
/// wrong.
void read_corpus_options(const Options& options, CorpusOptions& corpus);

/// Where --index keeps the indexed text, if it does.
std::optional<std::filesystem::path> read_index_path(const Options& options);

/// The text that the options name, the bundled one by default; shows on stderr how far a long one
/// has been read, unless --quiet.
Corpus load_corpus(const Options& options, const CorpusOptions& corpus);

/// What `read` gives, a text read by these options; its error names the option that helps.
Corpus read_with_hint(const std::function<Corpus()>& read);

/// The batches of a corpus. Throws Error, naming the text, when it is too short for one.
SeqDataLoader make_loader(const Options& options, const torch::Tensor& corpus,
                          const DataOptions& data, torch::Device device);

/// What messages call the text.
std::string name_of_text(const Options& options);

/// The prompts as the training text was written. Throws UsageError or Error when one that was
/// given by --prompt does not consist of the vocabulary's tokens.
std::vector<std::string> fit_prompts(const Options& options, std::vector<std::string> prompts,
                                     Normalize normalize, const Vocab& vocab);

}  // namespace unroll::app
