#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "text/fingerprint.h"
#include "unroll/text.h"
#include "unroll/vocab.h"

namespace unroll {

/// How a text becomes a corpus.
struct CorpusOptions {
  TextOptions text;            ///< normalisation and kind of token
  int64_t max_tokens = 10000;  ///< the corpus is cut to so many tokens; 0 or less keeps all
  int64_t min_freq = 0;        ///< rarer tokens become `<unk>`
  int64_t vocab_size = 0;  ///< entries at most, `<unk>` among them; the most frequent stay; 0: all
  /// Names the tokens in place of the text's own vocabulary, so that a model sees the indices it
  /// was trained on; other tokens become `<unk>`. The two above then have nothing to choose from.
  std::shared_ptr<const Vocab> vocab;
};

/// Throws UsageError unless every option is in range and the vocabulary, if given, is of the kind
/// of token that the text is cut into.
void check(const CorpusOptions& options);

/// A text as one row of token indices, with the vocabulary that names them.
struct Corpus {
  torch::Tensor indices;  ///< (N) uint8 while the vocabulary has at most 256 entries, else int32
  Vocab vocab;            ///< of the whole text, even when the corpus is cut
  TextOptions text;       ///< how the text was read
  TextFingerprint fingerprint;  ///< of the whole text
  int64_t unknown = 0;          ///< how many of the indices are `<unk>`
  /// Code points of the N tokens, `<unk>` counting as what it stands for, and one for the space
  /// between two words of a line; bytes count where they do not continue a code point.
  int64_t characters = 0;
  int64_t first_characters = 0;  ///< those of the first token, which no model predicts

  int64_t size() const { return indices.size(0); }
};

/// Reads, normalises, counts and indexes files in one pass, as if they were one text: nothing
/// stands between two files or two lines but the line ends that Normalize::kNone keeps.
///
/// Holds little more than the indices and the vocabulary. For that, files whose many tokens
/// `vocab_size` cuts to 256 entries or fewer are read twice where they can be; the standard input,
/// which cannot, may take up to four bytes a token until its end. Throws UsageError as check does,
/// Error, naming the file, when one cannot be read (read_blocks) or no token is left, and
/// InvalidUtf8Error as Tokenizer does, naming the file too.
Corpus read_corpus(const std::vector<std::filesystem::path>& paths,
                   const CorpusOptions& options = {}, const ReadCallback& on_read = {});

/// The same for one file.
Corpus read_corpus(const std::filesystem::path& path, const CorpusOptions& options = {},
                   const ReadCallback& on_read = {});

/// The same for a text in memory.
Corpus make_corpus(std::string_view text, const CorpusOptions& options = {});

/// The notebook's `load_corpus_time_machine`: a file by character, letters only.
Corpus load_corpus_time_machine(const std::filesystem::path& path, int64_t max_tokens = -1);

/// Where the index of one text lies unless told otherwise: `text.txt.unroll-index`.
std::filesystem::path index_beside(const std::filesystem::path& text);

/// Keeps a corpus in a file, with the options that it was read with: a safetensors file of its
/// indices, its tokens and their counts. Throws as save_safetensors does.
void save_corpus_index(const std::filesystem::path& path, const Corpus& corpus,
                       const CorpusOptions& options);

/// The corpus that a file keeps; nothing when it was read with other options. Whether the text is
/// still the same is for the caller to see from its fingerprint.
/// Throws Error, naming the file, when it is no such file or damaged.
std::optional<Corpus> load_corpus_index(const std::filesystem::path& path,
                                        const CorpusOptions& options);

/// read_corpus, with the result kept in the file `index` for the next time.
///
/// What is kept there is taken when it was read with these options from these bytes: the whole text
/// is read to see that, at the disk's speed. Else it is made anew and replaced. The standard input
/// cannot be read twice, so that it is indexed each time. Throws as read_corpus does, and Error,
/// naming the index, when it is no index, damaged, or cannot be written; it is then left as it is.
Corpus read_kept_corpus(const std::vector<std::filesystem::path>& paths,
                        const std::filesystem::path& index, const CorpusOptions& options = {},
                        const ReadCallback& on_read = {});

/// The bundled text (data/sample.txt): original English prose, so that training needs no file.
std::string_view sample_text();

}  // namespace unroll
