#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/fingerprint.h"
#include "unroll/compute.h"
#include "unroll/corpus.h"
#include "unroll/model.h"
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

class FileLock;

/// How often a training is saved while it goes on; both 0: only at its end.
struct SaveInterval {
  int64_t epochs = 0;  ///< between two checkpoints
  double minutes = 0;  ///< the same, by the clock
};

/// `10`, `10 epochs`, `5 minutes`, `5m`; throws UsageError otherwise.
SaveInterval parse_save_interval(std::string_view text);

/// Throws UsageError unless so many checkpoints can be kept.
void check_keep(int64_t keep);

/// The checkpoint files of one training: `model.safetensors` is the newest, `model.1.safetensors`
/// the one before it and so on, `model.best.safetensors` the best.
///
/// Each is whole at any moment: a crash, a full disk or a kill leaves what was there. While the
/// object lives, another training cannot write to one of them.
class CheckpointFiles {
 public:
  /// Keeps the newest `keep` >= 1. Removes what a killed training left unfinished at that path.
  /// Throws Error, naming the path, when it cannot be written or another training does.
  explicit CheckpointFiles(std::filesystem::path path, int64_t keep = 1);
  ~CheckpointFiles();
  CheckpointFiles(CheckpointFiles&&) noexcept;

  /// The names of all that it may write: the newest, the best, the ones before.
  static std::vector<std::filesystem::path> names(const std::filesystem::path& path, int64_t keep);

  /// Makes it the newest. Throws as save_checkpoint does; then the newest is the one before.
  void save(const Checkpoint& checkpoint);

  /// Makes it the best.
  void save_best(const Checkpoint& checkpoint) const;

  /// For a training that stood at `from` with the checkpoint `resumed` and goes on here: its best
  /// becomes the best here, be it `resumed` itself or in the file beside it, unless it is here, or
  /// a better one that it came to before it was killed. Nothing where there is none yet.
  /// Throws Error when that file cannot be loaded, is not that, or ours cannot be written.
  void keep_best_of(const std::filesystem::path& from, const Checkpoint& resumed) const;

  const std::filesystem::path& path() const { return path_; }

  /// `model.best.safetensors`
  std::filesystem::path best_path() const;

 private:
  std::filesystem::path next_path() const;
  std::filesystem::path numbered(int64_t number) const;
  void rotate() const;

  std::filesystem::path path_;
  int64_t keep_;
  std::vector<std::unique_ptr<FileLock>> locks_;  // of each name
};

}  // namespace unroll
