#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unroll/compute.h"
#include "unroll/corpus.h"
#include "unroll/model.h"
#include "unroll/seq_data.h"
#include "unroll/text.h"
#include "unroll/train.h"
#include "unroll/vocab.h"

#pragma GCC visibility push(default)
namespace unroll {

/// How a training was set up and how far it came: all that it needs, beside the model and its text,
/// to continue to the same bits as if it had not stopped.
struct TrainRecord {
  std::vector<std::string> texts = {};  ///< paths of the training text; none: the bundled text
  TextFingerprint fingerprint = {};     ///< of that text
  double valid_share = 0;       ///< share of the corpus, at its end, held out to validate on
  std::string valid_text = {};  ///< or the path of a text to validate on
  TextFingerprint valid_fingerprint = {};  ///< of that text
  CorpusOptions corpus = {};               ///< how the text is read
  DataOptions data = {};                   ///< how it is cut into batches
  TrainOptions options = {};               ///< how it is trained on
  Compute compute = {};                    ///< how it is to be computed
  /// Who computes it where `compute` leaves that open and a GPU has more than one way, which differ
  /// in the last bits; else kAuto. make_checkpoint fills it in.
  Backend chosen = Backend::kAuto;
  TrainState state = {};                             ///< how far it came
  std::map<std::string, std::string> settings = {};  ///< further options of the program that trains
  std::string build = {};  ///< that computed it, as build_of_this() names it
};

/// A trained model in one file: enough to use it without the text.
struct Checkpoint {
  ModelConfig config = {};                   ///< which model
  Vocab vocab = {};                          ///< which tokens
  TextOptions text = {};                     ///< how the training text was read
  NamedTensors weights = {};                 ///< the model's, by its own names
  int64_t epochs = 0;                        ///< epochs trained
  double perplexity = 0;                     ///< of the last epoch, in training; 0: not known
  std::optional<TrainRecord> training = {};  ///< if the training can be resumed
};

/// A checkpoint of a model as it is now; the weights are the live tensors, not copies.
///
/// `text`: how the text of the vocabulary was read, as Corpus::text has it. Throws Error if no
/// description stands for what the model computes (SequenceModel::config), the vocabulary is not of
/// its size, or save_checkpoint would.
///
///     save_checkpoint("model.safetensors", make_checkpoint(*net, corpus.vocab, corpus.text));
Checkpoint make_checkpoint(const SequenceModel& net, const Vocab& vocab, const TextOptions& text);

/// A checkpoint of a training where it stands: the same, and `record` with the training's state.
Checkpoint make_checkpoint(const SequenceModel& net, const Vocab& vocab, const TextOptions& text,
                           TrainRecord record, const Training& training);

/// How a training that was kept goes on on a device: as it was asked for, and by whom it was
/// computed; what another device lacks, cuDNN and captured steps, is left to it.
Compute resumed_compute(const TrainRecord& record, torch::Device device);

/// Writes a checkpoint as a safetensors file; docs/exchange.md says what it holds.
///
/// Throws as save_safetensors does, and Error if the weights are not those of the description, in
/// float32, or the vocabulary has a token that is not of the text's kind.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Throws Error, naming the path, when the file is truncated, damaged or something else, when a key
/// or a tensor is missing or not known, or when its weights are not those of the model that it
/// describes. docs/exchange.md says what a file needs.
Checkpoint load_checkpoint(const std::filesystem::path& path);

/// The model that the checkpoint describes, with its weights.
/// Throws as make_model does for a description, and Error when the weights do not fit it.
std::unique_ptr<SequenceModel> make_model(const Checkpoint& checkpoint, torch::Device device,
                                          const Compute& compute = {});

/// By which names a state dict has a model's weights.
enum class StateDictNames {
  kTorch,     ///< a layer of torch.nn in one file, and beside it its Linear
  kNotebook,  ///< the notebook's list of parameters: W_xh, W_hh, b_h, W_hq, b_q
};
constexpr auto enum_names(StateDictNames) {
  return enum_table<StateDictNames>(
      "names", {{StateDictNames::kTorch, "torch"}, {StateDictNames::kNotebook, "notebook"}});
}

/// Whose parameters the model has: kNotebook of a scratch model, else kTorch.
StateDictNames default_names(const Checkpoint& checkpoint);

/// The files of a state dict: for `lstm.safetensors` and kTorch that one for the layer,
/// `lstm.linear.safetensors` for the Linear and `lstm.vocab.json` for the vocabulary; for kNotebook
/// the first and the last.
std::vector<std::filesystem::path> state_dict_files(const std::filesystem::path& path,
                                                    StateDictNames names);

/// Writes a model's weights for Python, into state_dict_files: safetensors files that
/// `load_state_dict` of torch.nn's layers takes as they are, and the vocabulary. Throws Error as
/// save_safetensors does, and for a cell that torch.nn lacks, or more layers than the notebook has.
void save_state_dict(const std::filesystem::path& path, const Checkpoint& checkpoint,
                     StateDictNames names);

/// Reads such files, or one file of a module with a layer and a Linear, whatever it calls them. The
/// vocabulary lies beside it, as `lstm.vocab.json`. A layer without biases has zeros. `cell`: which
/// cell, where the file does not say; an RNN's is tanh otherwise. Throws Error, naming the file and
/// what is wrong.
Checkpoint load_state_dict(const std::filesystem::path& path, std::optional<Cell> cell = {});

/// Starts a model from a checkpoint's weights, to train it on another text (fine-tuning). The
/// model's vocabulary begins with the checkpoint's (Vocab::extended); rows and columns of further
/// entries stay as they are. Throws Error, and changes nothing, when the weights do not fit.
void init_weights(SequenceModel& net, const Checkpoint& from);

/// Throws UsageError, naming the option and both values, unless a model of this description, on a
/// text read like this, can start from the checkpoint: only dropout and what happens to invalid
/// UTF-8 may differ.
void check_can_init(const Checkpoint& from, const ModelConfig& config, const TextOptions& text);

/// What the last digits of a training depend on: LibTorch's version and the CPU's instructions.
std::string build_of_this();

/// Throws Error, naming it, if a text of the record is not valid UTF-8, which a checkpoint cannot
/// hold.
void check(const TrainRecord& record);

/// Throws UsageError, naming the option and both values, unless a training set up as `asked` can
/// continue from `saved`: it needs the same parameters, the same data and the same optimiser.
/// Who computes, in which precision, and all other options may change.
void check_resumable(const Checkpoint& saved, const ModelConfig& config, const TrainRecord& asked);

class FileLock;

/// The checkpoint files of one training: `model.safetensors` is the newest, `model.1.safetensors`
/// the one before it and so on, `model.best.safetensors` the best.
///
/// Each file is whole at any moment: a crash, a full disk or a kill leaves the previous one. While
/// the object lives, no other training can write to them.
class CheckpointFiles {
 public:
  /// Each has a lock, which is an open file.
  static constexpr int64_t kMostKept = 100;

  /// Keeps the newest `keep`, from 1 to kMostKept, else throws UsageError. Removes what a killed
  /// training left unfinished at that path. Throws Error, naming the path, if it cannot be written
  /// or another training writes there.
  explicit CheckpointFiles(std::filesystem::path path, int64_t keep = 1);
  ~CheckpointFiles();
  /// What is moved from keeps no files.
  CheckpointFiles(CheckpointFiles&&) noexcept;

  /// All paths that it may write: the newest, the best, the ones before.
  static std::vector<std::filesystem::path> names(const std::filesystem::path& path, int64_t keep);

  /// Saves a checkpoint as the newest. Throws as save_checkpoint does; the previous one then stays.
  void save(const Checkpoint& checkpoint);

  /// Saves a checkpoint as the best.
  void save_best(const Checkpoint& checkpoint) const;

  /// Brings the best checkpoint of a resumed training here. The training was loaded from the file
  /// `from`, which holds `resumed`; the best is `resumed` itself or the file beside it. Does
  /// nothing if there is none yet, or if this one, or a better one from before a kill, is already
  /// here. Throws Error if that file cannot be loaded or holds another one, or ours cannot be
  /// written.
  void keep_best_of(const std::filesystem::path& from, const Checkpoint& resumed) const;

  /// Of the newest.
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
#pragma GCC visibility pop
