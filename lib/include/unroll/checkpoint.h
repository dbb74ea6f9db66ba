#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unroll/corpus.h"
#include "unroll/fingerprint.h"
#include "unroll/model.h"
#include "unroll/model_config.h"
#include "unroll/seq_data.h"
#include "unroll/text.h"
#include "unroll/train.h"
#include "unroll/vocab.h"

namespace unroll {

/// How a training was set up and where it stands: what it needs, beside the model and its text, to
/// go on to the bit as if it had not stopped.
struct TrainRecord {
  std::vector<std::string> texts;     ///< paths of what it learns from; none: the bundled text
  TextFingerprint fingerprint;        ///< of that text
  double valid_share = 0;             ///< of the corpus, its end, that is held out to validate on
  std::string valid_text;             ///< or the path of a text to validate on
  TextFingerprint valid_fingerprint;  ///< of that text
  CorpusOptions corpus;               ///< how the text is read
  DataOptions data;                   ///< how it is cut into batches
  TrainOptions options;               ///< how it is trained on
  Precision precision = Precision::kFp32;       ///< of a fused model
  TrainState state;                             ///< where it stands
  std::map<std::string, std::string> settings;  ///< further options of the program that trains
  std::string build;                            ///< that computed it, as build_of_this() names it
};

/// A trained model as one file holds it: enough to go on using it without the text.
struct Checkpoint {
  ModelConfig config;                   ///< which model
  Vocab vocab;                          ///< which tokens
  TextOptions text;                     ///< how the training text was read
  NamedTensors weights;                 ///< the model's, by its own names
  int64_t epochs = 0;                   ///< epochs trained
  double perplexity = 0;                ///< of the last epoch, on the training text
  std::optional<TrainRecord> training;  ///< in one that training can go on from
};

/// Writes a checkpoint as a safetensors file: tensors `model.*`, and of a training `updater.*`,
/// `sums.*`, `carry.*`, `rng.*` and `history`; `__metadata__` with `format` "unroll", `version` and
/// `config`, a JSON text. Throws as save_safetensors does.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Throws Error, naming the path, when the file is truncated, damaged or something else, or when
/// its weights are too many or too few for the model that it describes.
Checkpoint load_checkpoint(const std::filesystem::path& path);

/// The model that the checkpoint describes, with its weights.
/// Throws Error when the weights do not fit the description.
std::unique_ptr<SequenceModel> make_model(const Checkpoint& checkpoint, torch::Device device);

/// What the last digits of a training depend on: LibTorch's version and the CPU's instructions.
std::string build_of_this();

/// Throws Error, naming the text, when one of the record's is not valid UTF-8, which a checkpoint
/// cannot hold.
void check(const TrainRecord& record);

/// All options of the training that a checkpoint holds, by the names of the command line, each with
/// its values: `batch-size` {"32"}, `prompt` {"time ", "a"}. Those without a value are left out.
/// Empty when it holds none.
std::map<std::string, std::vector<std::string>> option_values(const Checkpoint& checkpoint);

/// Throws UsageError, naming the option and both values, unless a training that was set up as
/// `asked` goes on from `saved`: the same parameters, the same data, the same optimiser.
/// Who computes, in which precision, may change, and so may all other options.
void check_resumable(const Checkpoint& saved, const ModelConfig& config, const TrainRecord& asked);

}  // namespace unroll
