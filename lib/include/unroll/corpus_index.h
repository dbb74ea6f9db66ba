#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "unroll/corpus.h"

namespace unroll {

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

}  // namespace unroll
