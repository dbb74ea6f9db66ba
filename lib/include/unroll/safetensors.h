#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "unroll/model.h"

namespace unroll {

/// What a safetensors file holds.
struct SafeTensors {
  NamedTensors tensors;                         ///< on the CPU, in the file's order
  std::map<std::string, std::string> metadata;  ///< the header's `__metadata__`
};

/// Writes a safetensors file (https://github.com/huggingface/safetensors: eight bytes of header
/// length, a JSON header, the tensors' bytes).
///
/// Written to a temporary file beside `path`, synced, then renamed: an existing file stays whole
/// until the new one is. Throws Error, naming the path, when that fails.
void save_safetensors(const std::filesystem::path& path, const SafeTensors& content);

/// Reads a safetensors file. Every length in it is checked against the file's own size before it
/// is used. Throws Error, naming the path and what is wrong.
SafeTensors load_safetensors(const std::filesystem::path& path);

/// Throws Error, naming the path, when a file cannot be written there; leaves nothing behind.
void check_writable(const std::filesystem::path& path);

}  // namespace unroll
