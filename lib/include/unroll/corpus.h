#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "unroll/options.h"
#include "unroll/ranks.h"
#include "unroll/text.h"
#include "unroll/vocab.h"

#pragma GCC visibility push(default)
namespace unroll {

/// How a text becomes a corpus.
struct CorpusOptions {
  TextOptions text = {};  ///< normalisation and kind of token
  std::optional<int64_t> max_tokens =
      {};                  ///< the corpus is cut to this many tokens; empty or 0 keeps all
  int64_t min_freq = 0;    ///< rarer tokens become `<unk>`
  int64_t vocab_size = 0;  ///< entries at most, `<unk>` among them; the most frequent stay; 0: all
  /// Replaces the text's own vocabulary, so that a model sees the indices it was trained on. Other
  /// tokens become `<unk>`. The two options above then have no effect.
  std::shared_ptr<const Vocab> vocab = {};

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    TextOptions::fields(self.text, visit);
    visit(
        self.max_tokens,
        {"max-tokens", "N",
         "cut the corpus to N tokens; 0 keeps all (default: all; of the bundled sample and of The "
         "Time Machine 10000, as in the notebook)",
         at_least(0, "0 keeps all")});
    visit(self.min_freq,
          {"min-freq", "N", "tokens that occur fewer than N times become <unk>", at_least(0)});
    visit(self.vocab_size,
          {"vocab-size", "N", "keep at most N entries, the most frequent; 0 keeps all",
           at_least(0, "0 is all")});
  }
};

/// Throws UsageError unless every option is in range and the vocabulary, if given, is of the kind
/// of token that the text is cut into.
void check(const CorpusOptions& options);

/// A text as one row of token indices, with the vocabulary that names them.
struct Corpus {
  torch::Tensor indices =
      {};                 ///< (N) uint8 while the vocabulary has at most 256 entries, else int32
  Vocab vocab = {};       ///< of the whole text, even when the corpus is cut
  TextOptions text = {};  ///< how the text was read
  TextFingerprint fingerprint = {};  ///< of the whole text
  int64_t text_tokens = 0;           ///< of the whole text, even when the corpus is cut
  int64_t unknown = 0;               ///< how many of the indices are `<unk>`
  /// Code points of the N tokens, and one for each space between two words of a line. `<unk>`
  /// counts as the token that it replaces. A byte counts unless it continues a code point.
  int64_t characters = 0;
  int64_t first_characters = 0;  ///< those of the first token, which no model predicts

  /// N, tokens.
  int64_t size() const { return indices.size(0); }
};

/// Reads, normalises, counts and indexes files in one pass, as if they were one text. Nothing
/// separates two files or two lines except the line ends that Normalize::kNone keeps.
///
/// Takes little more memory than the indices and the vocabulary. So files with many different
/// tokens, of which `vocab_size` keeps 256 entries or fewer, are read twice. The standard input
/// cannot be read twice, and may take four bytes a token until its end. Throws UsageError as check
/// does, Error, naming the file, if it cannot be read (read_blocks) or has no token, and
/// InvalidUtf8Error as Tokenizer does, also naming the file.
Corpus read_corpus(const std::vector<std::filesystem::path>& paths,
                   const CorpusOptions& options = {}, const ReadCallback& on_read = {});

/// The same for one file.
Corpus read_corpus(const std::filesystem::path& path, const CorpusOptions& options = {},
                   const ReadCallback& on_read = {});

/// The same for a text in memory.
Corpus make_corpus(std::string_view text, const CorpusOptions& options = {});

/// The same corpus by another vocabulary of the same kind of token; what that lacks is `<unk>`.
/// Throws Error for another kind.
Corpus with_vocab(const Corpus& corpus, const Vocab& vocab);

/// The indices of a text's tokens, read as the options say. Throws InvalidUtf8Error where that is
/// refused, Error for a vocabulary of another kind.
std::vector<int64_t> token_indices(std::string_view text, const TextOptions& options,
                                   const Vocab& vocab);

/// How many of the tokens (N) are `<unk>`.
int64_t count_unknown(const torch::Tensor& tokens);

/// Whether a text is the notebook's edition of The Time Machine.
bool is_time_machine(const TextFingerprint& text);

/// How many tokens of these texts the notebook learns from: 10000 of The Time Machine, which is
/// recognised by its hash, and of the bundled sample, which stands for it (no text named). 0, all,
/// of any other. Throws as read_blocks does.
int64_t notebook_max_tokens(const std::vector<std::filesystem::path>& texts);

/// The notebook's `load_corpus_time_machine`: a file by character, letters only.
Corpus load_corpus_time_machine(const std::filesystem::path& path, int64_t max_tokens = -1);

/// The default path of a text's index: `text.txt.unroll-index`.
std::filesystem::path index_beside(const std::filesystem::path& text);

/// Writes a corpus to a file, with the options that it was read with: a safetensors file of its
/// indices, its tokens and their counts. Throws as save_safetensors does.
void save_corpus_index(const std::filesystem::path& path, const Corpus& corpus,
                       const CorpusOptions& options);

/// The corpus in an index file, or nothing if it was read with other options. The caller compares
/// the fingerprint to see whether the text is still the same. Its indices lie in the file, as with
/// map_safetensors.
/// Throws Error, naming the file, if it is damaged or not an index.
std::optional<Corpus> load_corpus_index(const std::filesystem::path& path,
                                        const CorpusOptions& options);

/// read_corpus, with the result kept in the file `index` for the next time.
///
/// The kept corpus is used if it was read with these options from these bytes. To check that, the
/// whole text is read, at the disk's speed. Otherwise the index is made again and replaced. The
/// standard input cannot be read twice, so it is indexed each time. Throws as read_corpus does, and
/// Error, naming the index, if it is not an index, is damaged, or cannot be written. It is then
/// left unchanged.
///
/// With ranks, all of them call this. The first reads the text, and makes the index if need be;
/// each of them then reads a part of the index to check it, and later what its batches need (see
/// map_safetensors).
Corpus read_kept_corpus(const std::vector<std::filesystem::path>& paths,
                        const std::filesystem::path& index, const CorpusOptions& options = {},
                        const ReadCallback& on_read = {}, const std::shared_ptr<Ranks>& ranks = {});

/// The bundled text (data/sample.txt): original English prose, so that training needs no file.
std::string_view sample_text();

}  // namespace unroll
#pragma GCC visibility pop
