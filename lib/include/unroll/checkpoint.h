#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "unroll/model.h"
#include "unroll/model_config.h"
#include "unroll/text.h"
#include "unroll/vocab.h"

namespace unroll {

/// A trained model as one file holds it: enough to go on using it without the text.
struct Checkpoint {
  ModelConfig config;     ///< which model
  Vocab vocab;            ///< which tokens
  TextOptions text;       ///< how the training text was read
  NamedTensors weights;   ///< the model's, by its own names
  int64_t epochs = 0;     ///< epochs trained
  double perplexity = 0;  ///< of the last epoch, on the training text
};

/// Writes a checkpoint as a safetensors file: tensors `model.*`; `__metadata__` with `format`
/// "unroll", `version` and `config`, a JSON text. Throws as save_safetensors does.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Throws Error, naming the path, when the file is truncated, damaged or something else, or when
/// its weights are too many or too few for the model that it describes.
Checkpoint load_checkpoint(const std::filesystem::path& path);

/// The model that the checkpoint describes, with its weights.
/// Throws Error when the weights do not fit the description.
std::unique_ptr<SequenceModel> make_model(const Checkpoint& checkpoint, torch::Device device);

}  // namespace unroll
