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
/// has been read, unless --quiet. Where `corpus` leaves max_tokens open, it takes the notebook's
/// cut of the notebook's text, and all of any other.
Corpus load_corpus(const Options& options, CorpusOptions& corpus,
                   const std::shared_ptr<Ranks>& ranks = {});

/// How many tokens of the text are learned from, and why: `own.txt: 500 of 9000 tokens, as
/// --max-tokens says`.
std::string describe_corpus(const Options& options, const Corpus& corpus);

/// What `read` gives, a text read by these options; its error names the option that helps.
Corpus read_with_hint(const std::function<Corpus()>& read);

/// The batches of a corpus. Throws Error, naming the text, when it is too short for one; `before`
/// stands before the number of its tokens.
SeqDataLoader make_loader(const Options& options, const torch::Tensor& corpus,
                          const DataOptions& data, torch::Device device,
                          const std::string& before = "");

/// What messages call the text.
std::string name_of_text(const Options& options);

/// The prompts as the text is read. Throws UsageError or Error when one that was given by --prompt
/// does not consist of the vocabulary's tokens. If none was given and the text lacks a token of the
/// notebook's, the text's own beginning is continued instead.
std::vector<std::string> fit_prompts(const Options& options, std::vector<std::string> prompts,
                                     const Corpus& corpus);

}  // namespace unroll::app
