#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace unroll {

/// What a model remembers: RNN and GRU {h}, LSTM {h, c}, the MLP nothing.
/// Scratch models hold (B,H), layered ones (L,B,H): the batch is dimension -2.
using State = std::vector<torch::Tensor>;

/// A tensor with the name under which it is stored, copied and compared.
struct NamedTensor {
  std::string name = {};      ///< as in a file
  torch::Tensor tensor = {};  ///< no copy
};
/// Tensors in an order that means something, such as the model's.
using NamedTensors = std::vector<NamedTensor>;

/// The tensor called `name`. Throws Error when there is none.
const torch::Tensor& tensor_named(const NamedTensors& tensors, const std::string& name);

/// The tensors without their names.
std::vector<torch::Tensor> values(const NamedTensors& tensors);

/// The state cut from the graph that computed it: values, no history.
State detach(const State& state);

/// Input and label of one step: Y is X moved by one token.
struct Batch {
  torch::Tensor X = {};  ///< (B,T) int64, token indices in [0,V)
  torch::Tensor Y = {};  ///< (B,T) int64, the tokens that follow
};

/// What a safetensors file holds.
struct SafeTensors {
  NamedTensors tensors = {};                         ///< on the CPU, in the file's order
  std::map<std::string, std::string> metadata = {};  ///< the header's `__metadata__`
};

/// Writes a safetensors file (https://github.com/huggingface/safetensors: eight bytes of header
/// length, a JSON header, the tensors' bytes).
///
/// Writes a temporary file beside `path`, syncs it and renames it, so an existing file stays whole
/// until the new one is. Throws Error, naming the path, if that fails, or if two tensors have one
/// name, one has the metadata's (`__metadata__`), or a dtype that the format lacks.
void save_safetensors(const std::filesystem::path& path, const SafeTensors& content);

/// Reads a safetensors file. Every length in it is checked against the file's own size before it
/// is used. Throws Error, naming the path and what is wrong.
SafeTensors load_safetensors(const std::filesystem::path& path);

/// The same without reading the tensors: they are the file's own bytes, which the system reads
/// where they are looked at, and drops again when memory is short. What is written to them stays in
/// this process. Those that do not lie at a multiple of their element's size are read at once. The
/// file may be replaced by another, but what it holds must not be changed or cut off meanwhile.
SafeTensors map_safetensors(const std::filesystem::path& path);

}  // namespace unroll
#pragma GCC visibility pop
