#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>

#include "unroll/text.h"
#include "unroll/vocab.h"

namespace unroll {

/// A file by the indices of a vocabulary that is there already: what a trained model reads.
struct IndexedText {
  torch::Tensor indices;   ///< (N) int32, in [0,V)
  int64_t unknown = 0;     ///< tokens that the vocabulary lacks; their index is that of `<unk>`
  int64_t characters = 0;  ///< of all tokens but the first: code points, and a space between two
                           ///< words of a line; bytes when a token is a byte
};

/// Reads a file as `text` says. Throws Error, naming the file, as read_corpus does.
IndexedText read_indexed_text(const std::filesystem::path& path, const TextOptions& text,
                              const Vocab& vocab);

/// Calls `sink` with a file's token indices, block by block: for files that need not fit in memory.
/// Throws as read_indexed_text does.
void stream_indices(const std::filesystem::path& path, const TextOptions& text, const Vocab& vocab,
                    const std::function<void(std::span<const int64_t>)>& sink);

}  // namespace unroll
