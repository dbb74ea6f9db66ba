#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "unroll/text.h"
#include "unroll/vocab.h"

namespace unroll {

/// How a text becomes a corpus.
struct CorpusOptions {
  TextOptions text;            ///< normalisation and kind of token
  int64_t max_tokens = 10000;  ///< the corpus is cut to so many tokens; 0 or less keeps all
  int64_t min_freq = 0;        ///< rarer tokens become `<unk>`
};

/// A text as one row of token indices, with the vocabulary that names them.
struct Corpus {
  torch::Tensor indices;  ///< (N) uint8 while the vocabulary has at most 256 entries, else int32
  Vocab vocab;            ///< of the whole text, even when the corpus is cut
  TextOptions text;       ///< how the text was read

  int64_t size() const { return indices.size(0); }
};

/// Reads, normalises, counts and indexes a file in one pass; nothing stands between two lines'
/// tokens but the line ends that Normalize::kNone keeps.
///
/// Holds the indices and one block of the file at a time. Throws Error, naming the file, when it
/// cannot be read or no token is left.
Corpus read_corpus(const std::filesystem::path& path, const CorpusOptions& options = {});

/// The same for a text in memory.
Corpus make_corpus(std::string_view text, const CorpusOptions& options = {});

/// The notebook's `load_corpus_time_machine`: a file by character, letters only.
Corpus load_corpus_time_machine(const std::filesystem::path& path, int64_t max_tokens = -1);

}  // namespace unroll
