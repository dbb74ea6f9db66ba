#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unroll/compute.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"
#include "unroll/vocab.h"

#pragma GCC visibility push(default)
namespace unroll {

/// A model, and how it is computed.
struct ModelSetup {
  ModelConfig config = {};  ///< what is computed
  Compute compute = {};     ///< how

  bool operator==(const ModelSetup&) const = default;

  /// Its name in tables: `scratch` or `concise` if it is computed plain, else who computes it.
  std::string name() const;
};

/// What is measured, and how often.
struct BenchOptions {
  std::vector<ModelSetup> models = std::vector<ModelSetup>(1);  ///< each of these
  std::vector<int64_t> threads = {1};  ///< with each of these numbers of threads
  /// Float features of a step: layers alone, torch::nn's (concise, computed plain) and ours, up to
  /// their outputs and the gradients of their parameters; 0: language models.
  int64_t inputs = 0;
  int64_t repeat = 5;  ///< epochs of each, taken in turns
  /// Processes that train each model together, each of which calls bench; none: this one alone.
  std::shared_ptr<Ranks> ranks = {};

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.inputs,
          {"inputs", "I",
           "layers alone, concise and fused, on I float features a step, hidden states "
           "out; 0: language models",
           from_to(0, 1 << 20)});
    visit(self.repeat, {"repeat", "N", "epochs of each, taken in turns", from_to(1, 1'000'000)});
  }
};

/// Throws UsageError unless every model and number is in range.
void check(const BenchOptions& options);

/// One model with one number of threads.
struct BenchRow {
  ModelSetup setup = {};     ///< as it was asked for
  int64_t inputs = 0;        ///< float features of its layers alone; 0: a language model
  int64_t threads = 1;       ///< of LibTorch and the kernels
  Compute effective = {};    ///< as it was computed
  bool is_captured = false;  ///< whether its steps were replayed from a graph
  std::vector<double> tokens_per_second = {};  ///< of each epoch
  int64_t ranks = 1;                           ///< processes that trained it together
  /// With several: the same of the first alone, on as many rows of a batch as it has with them.
  std::vector<double> alone_on_its_rows = {};
  std::vector<double> alone = {};  ///< and alone on whole batches
  double flops = 0;                ///< floating-point operations a second, at the median speed
  double peak = 0;  ///< what as many threads reached in registers in the same run; 0 on a GPU
  StepSeconds phases = {};  ///< seconds of all epochs; 0 on a GPU
  /// The most memory that making the model and training it for an epoch added to the process, or on
  /// a GPU to what LibTorch holds there. The first row includes what LibTorch itself takes at
  /// first. 0 if the system does not report it.
  int64_t peak_bytes = 0;

  /// Median over epochs.
  double median() const;
  /// Their speed together, as a share of the speed of one alone, on as many rows as it has of a
  /// batch, times their number: the median over epochs, taken in turns. 1 without ranks.
  double efficiency() const;
  /// How many times as fast as one process alone on the same batches they are, likewise.
  double speedup() const;
};

/// Measures multiply-adds in registers on `threads` threads for about 50 ms. Returns floating-point
/// operations a second: the most that a model in float32 could reach.
double measure_peak(int64_t threads);

/// Trains every model for one epoch to warm up and then, taking turns, for `repeat` more, on the
/// batches' device; of layers alone it takes their outputs and gradients as often. Sets LibTorch's
/// number of threads and restores it. With ranks, the first of them also trains alone in its turn,
/// while the others wait.
std::vector<BenchRow> bench(const SeqDataLoader& train_iter, int64_t vocab_size,
                            const BenchOptions& options, const TrainCallbacks& callbacks = {});

/// One of the trainings that are compared: a model, how it is computed, what it learns from and
/// how.
struct Configuration {
  std::string name = {};                    ///< in tables; each its own
  ModelSetup setup = {};                    ///< the model
  DataOptions data = {};                    ///< its batches; their seed is that of its weights, too
  TrainOptions train = {.epochs = 20};      ///< the training
  torch::Tensor tokens = {};                ///< (N) token indices to train on
  torch::Tensor valid = {};                 ///< (N) those to validate on; undefined: none
  std::shared_ptr<const Vocab> vocab = {};  ///< which tokens
  double characters_per_token = 1;          ///< of `tokens`, on average
  torch::Device device = torch::kCPU;       ///< where it is trained
  int64_t threads = 0;                      ///< of the CPU; 0: as many as LibTorch has
};

/// The implementations of one model: `scratch` and `concise`, computed plain, and `fused`, computed
/// by our kernels; each with its own of these names, and otherwise as `base`. A GRU resets after
/// the product, as torch::nn's, unless `base` says before. Left out is what there is not: a scratch
/// model of several layers, a concise one of a function that torch::nn lacks. Throws UsageError if
/// less than two are left.
std::vector<Configuration> implementations_of(const Configuration& base);

/// How often configurations are compared.
struct CompareOptions {
  int64_t seeds = 1;  ///< trainings of each: with its own seed, the next one, and so on

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.seeds, {"seeds", "N",
                       "trainings of each, with N seeds: mean and spread of the perplexity, and "
                       "whether a difference is larger than the spread",
                       from_to(1, 1000)});
  }
};

/// Throws UsageError unless every value is in range, there are two configurations, and their names
/// differ.
void check(const std::vector<Configuration>& configurations, const CompareOptions& options);

/// Largest absolute differences of a model from another of the same function, on one batch.
struct Differences {
  double logits = 0;  ///< of the batch
  double states = 0;  ///< after it
  /// Of each weight, in the scratch model's layout if it has one.
  std::vector<std::pair<std::string, double>> gradients = {};

  /// The largest of the gradients'.
  double gradient() const;
};

/// Mean and sample standard deviation; that of one value is 0.
struct Spread {
  double mean = 0;       ///< over the values
  double deviation = 0;  ///< with n - 1 in the denominator
};

/// The results of one training of several.
struct StudiedTraining {
  TrainResult result = {};    ///< as far as it came
  std::string diverged = {};  ///< why it came no further; empty if it ended well

  /// After the last epoch; not a number if it diverged.
  double perplexity() const;
};

/// One of the configurations, and the results of its trainings.
struct ComparedModel {
  Configuration configuration = {};  ///< as it was asked for
  Compute effective = {};            ///< as it was computed
  int64_t parameters = 0;            ///< values in all weights
  std::string apart = {};  ///< why it is no model of the same function: `cell lstm, not rnn`
  /// From the first configuration, on that one's first batch, from the same weights. Empty of
  /// another function, and where the seeds differ, since then the weights do.
  std::optional<Differences> at_first = {};
  /// The same after each has been trained.
  std::optional<Differences> trained = {};
  int64_t peak_bytes = 0;  ///< the most memory that its first training took; 0: not known
  std::vector<StudiedTraining> trainings = {};  ///< of each seed

  /// Why the first that diverged did; empty if none did.
  std::string diverged() const;
  Spread perplexity() const;                       ///< after the last epoch; NaN if one diverged
  std::optional<Spread> valid_perplexity() const;  ///< if all were validated
  double bits_per_character() const;               ///< of the mean perplexity
  double tokens_per_second() const;                ///< median over trainings
};

/// The results of a comparison.
struct Comparison {
  std::vector<ComparedModel> models = {};  ///< in the order of the configurations

  /// Whether a model's perplexity (on the text to validate on, if both have it) differs from the
  /// first one's by more than two trainings do that differ by their seeds alone: by more than
  /// sqrt(a^2 + b^2), with both deviations. Empty for the first, with one seed, and if a training
  /// diverged.
  std::optional<bool> is_beyond_spread(const ComparedModel& model) const;
};

/// Called before each training, with its configuration and which of the seeds it has, from 0;
/// returns what to call during it.
using CompareCallbacks = std::function<TrainCallbacks(const Configuration&, int64_t nth_seed)>;

/// Trains each configuration with each seed, and measures how far models of the same function are
/// from the first one.
///
/// A configuration of the same function and seed as the first starts from that one's weights. Every
/// other one draws its own, and is then trained to the same numbers as by train_ch8 alone after
/// at::manual_seed. LibTorch's default generators and number of threads are set, the number of
/// threads is restored.
///
/// A concise model's perplexity drifts from the scratch model's with the epochs: where the notebook
/// has one bias a gate, torch::nn adds two, each with the whole gradient, so that their sum moves
/// twice as far. A fused model has the scratch model's own weights and differs by rounding.
///
/// A training that diverges ends by itself; the others go on. Throws UsageError as check does and
/// for a model that does not exist, Error when a corpus is too short.
Comparison compare(const std::vector<Configuration>& configurations,
                   const CompareOptions& options = {}, const CompareCallbacks& callbacks = {});

/// A row of the notebook's published results: a model that is trained on The Time Machine by
/// character, the first 10,000, in batches of 32 rows of 35, for 500 epochs.
struct PublishedResult {
  std::string_view name = {};                 ///< `gru-scratch`
  ModelConfig config = {};                    ///< the model
  Sampling sampling = Sampling::kSequential;  ///< its batches
  double lr = 1;                              ///< its learning rate
  /// Least and most of some 70 published runs, each with one decimal: perplexity after the last
  /// epoch.
  std::array<double, 2> perplexity = {};
  /// Least, median and most of them, on a data-centre GPU.
  std::array<double, 3> tokens_per_second = {};
};

/// All rows, in the order of the chapter.
const std::vector<PublishedResult>& published_results();

/// The rows of these names, in their order; all for none. Throws UsageError for another name.
std::vector<PublishedResult> published_results(const std::vector<std::string>& names);

/// Which of the published results are reproduced, and how.
struct ReproduceOptions {
  std::vector<std::string> rows = {};  ///< their names; none: all
  int64_t epochs = 500;                ///< passes over the corpus; fewer are no reproduction
  int64_t seeds = 1;                   ///< trainings of each row: with seed 0, 1, and so on
  Compute compute = {};                ///< how they are computed

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.epochs,
          {"epochs", "N", "passes over the corpus; fewer are a quick look", from_to(1, 500)});
    visit(self.seeds, {"seeds", "N", "trainings of each row, with N seeds; their mean is judged",
                       from_to(1, 1000)});
    Compute::fields(self.compute, visit);
  }
};

/// Throws UsageError unless every option is in range and every row exists.
void check(const ReproduceOptions& options);

/// How a result stands to what was published.
enum class Verdict {
  kPass,    ///< within the published range
  kBetter,  ///< a lower perplexity than that of any published run
  kFail,    ///< a higher one, or it diverged
  kNotYet,  ///< a higher one, after fewer epochs
};
constexpr auto enum_names(Verdict) {
  return enum_table<Verdict>("verdict", {{Verdict::kPass, "pass"},
                                         {Verdict::kBetter, "better"},
                                         {Verdict::kFail, "fail"},
                                         {Verdict::kNotYet, "not yet"}});
}

/// A row and its own results.
struct Reproduction {
  PublishedResult published = {};               ///< the row
  Compute effective = {};                       ///< how it was computed
  std::vector<StudiedTraining> trainings = {};  ///< of each seed

  /// Why the first that diverged did; empty if none did.
  std::string diverged() const;
  Spread perplexity() const;         ///< after the last epoch, over the seeds; NaN if one diverged
  double tokens_per_second() const;  ///< median over the seeds
  int64_t epochs() const;            ///< the fewest of any seed
  /// Of the mean perplexity, to one decimal as the published ones are.
  Verdict verdict() const;
};

/// Called before each training, with its row, its seed and the epochs that were trained before, if
/// it continues; returns what to call during it.
using ReproduceCallbacks = std::function<TrainCallbacks(const PublishedResult&, uint64_t seed,
                                                        const std::vector<EpochStats>& history)>;

/// The file in which a training of reproduce is kept: `FOLDER/gru-scratch.seed0.safetensors`.
std::filesystem::path kept_training(const std::filesystem::path& folder, const PublishedResult& row,
                                    uint64_t seed);

/// Trains the rows on The Time Machine, which the file `text` holds.
///
/// Each training is kept in `folder` as a checkpoint (kept_training), saved once a minute and when
/// a callback throws, which stops it. Called again, it continues where it was to the same bits, and
/// takes from a finished one what it came to. Throws UsageError as check does, Error if the text is
/// another one, a checkpoint is not of this training on this kind of device, or one cannot be
/// written.
std::vector<Reproduction> reproduce(const std::filesystem::path& text,
                                    const std::filesystem::path& folder, torch::Device device,
                                    const ReproduceOptions& options = {},
                                    const ReproduceCallbacks& callbacks = {});

}  // namespace unroll
#pragma GCC visibility pop
