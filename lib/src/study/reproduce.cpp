#include <ATen/Context.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "base/fields.h"
#include "base/formatted.h"
#include "study/spread.h"
#include "unroll/checkpoint.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/notebook.h"
#include "unroll/study.h"

namespace unroll {
namespace {

constexpr int64_t kPublishedEpochs = 500;

// One training of a row, kept in a checkpoint.
class KeptTraining {
 public:
  KeptTraining(const Corpus& corpus, torch::Device device, const ModelConfig& config,
               const TrainRecord& record, std::filesystem::path path)
      : corpus_(corpus),
        record_(record),
        files_(std::move(path)),
        train_iter_(corpus.indices, record.data, device) {
    std::optional<Checkpoint> kept;
    auto compute = record.compute;
    if (std::filesystem::exists(files_.path())) {
      kept = load_checkpoint(files_.path());
      if (kept->training && kept->training->compute == compute) {
        compute = resumed_compute(*kept->training, device);
      }
    }
    at::manual_seed(record.data.seed);
    net_ = make_model(config, corpus.vocab.size(), device, compute);
    training_ = std::make_unique<Training>(*net_, train_iter_, corpus.vocab, record.options);
    if (kept) {
      continue_from(*kept, config);
    }
  }

  TrainResult run(TrainCallbacks callbacks) {
    const auto on_batch = callbacks.on_batch;
    callbacks.on_batch = [&](const TrainProgress& at, int64_t batches) {
      constexpr double kSecondsBetween = 60;
      if (since_saved_.stop() > kSecondsBetween) {
        save();
      }
      if (on_batch) {
        try {
          on_batch(at, batches);
        } catch (...) {
          save();
          throw;
        }
      }
    };
    const bool was_finished = training_->is_finished();
    auto result = training_->run(callbacks);
    if (!was_finished) {
      save();
    }
    return result;
  }

  const std::vector<EpochStats>& history() const { return training_->history(); }
  Compute effective() const { return net_->effective_compute(record_.data.batch_size); }

 private:
  void continue_from(const Checkpoint& checkpoint, const ModelConfig& config) {
    try {
      if (!checkpoint.training) {
        throw Error("it holds a model alone");
      }
      if (checkpoint.training->compute != record_.compute) {
        throw Error("it was computed otherwise");
      }
      if (checkpoint.training->settings != record_.settings) {
        throw Error("it was computed on another device");
      }
      check_resumable(checkpoint, config, record_);
      load_weights(*net_, checkpoint.weights);
      training_->load_state(checkpoint.training->state);
    } catch (const Error& error) {
      throw Error(formatted("{}: is not of this training: {}; choose another folder",
                            files_.path().string(), error.what()));
    }
  }

  void save() {
    files_.save(make_checkpoint(*net_, corpus_.vocab, corpus_.text, record_, *training_));
    since_saved_.start();
  }

  const Corpus& corpus_;
  const TrainRecord& record_;
  CheckpointFiles files_;
  SeqDataLoader train_iter_;
  std::unique_ptr<SequenceModel> net_;
  std::unique_ptr<Training> training_;
  Timer since_saved_;
};

// What `train` would be given for the row.
TrainRecord record_of(const PublishedResult& row, const ReproduceOptions& options, uint64_t seed) {
  TrainRecord record;
  record.corpus.max_tokens = 10'000;
  record.data.sampling = row.sampling;
  record.data.seed = seed;
  record.options.epochs = options.epochs;
  record.options.updater.lr = row.lr;
  record.compute = options.compute;
  record.build = build_of_this();
  return record;
}

double to_one_decimal(double value) { return std::round(value * 10) / 10; }

}  // namespace

const std::vector<PublishedResult>& published_results() {
  const auto row = [](std::string_view name, const ModelConfig& config,
                      const std::array<double, 2>& perplexity,
                      const std::array<double, 3>& thousand_tokens_per_second) {
    PublishedResult result{.name = name, .config = config, .perplexity = perplexity};
    for (std::size_t k = 0; k < 3; ++k) {
      result.tokens_per_second[k] = 1000 * thousand_tokens_per_second[k];
    }
    return result;
  };
  static const auto kRows = [&] {
    constexpr auto kScratch = ModelKind::kScratch;
    constexpr auto kConcise = ModelKind::kConcise;
    std::vector<PublishedResult> rows{
        row("rnn-scratch", {.model = kScratch, .hidden = 512}, {1.0, 1.2}, {46, 65, 79}),
        row("rnn-scratch-reset", {.model = kScratch, .hidden = 512}, {1.2, 1.6}, {37, 64, 76}),
        row("rnn-concise", {.model = kConcise, .hidden = 256}, {1.2, 1.4}, {183, 294, 404}),
        row("gru-scratch", {.model = kScratch, .cell = Cell::kGru, .hidden = 256}, {1.0, 1.3},
            {19, 25, 28}),
        row("gru-concise", {.model = kConcise, .cell = Cell::kGru, .hidden = 256}, {1.0, 1.3},
            {109, 300, 337}),
        row("lstm-scratch", {.model = kScratch, .cell = Cell::kLstm, .hidden = 256}, {1.1, 1.4},
            {16, 21, 22}),
        row("lstm-concise", {.model = kConcise, .cell = Cell::kLstm, .hidden = 256}, {1.0, 1.2},
            {209, 293, 330}),
        row("lstm-concise-2-layers",
            {.model = kConcise, .cell = Cell::kLstm, .hidden = 256, .layers = 2}, {1.0, 1.6},
            {150, 199, 224})};
    rows[1].sampling = Sampling::kSequentialReset;
    rows.back().lr = 2;
    return rows;
  }();
  return kRows;
}

std::vector<PublishedResult> published_results(const std::vector<std::string>& names) {
  const auto& all = published_results();
  if (names.empty()) {
    return all;
  }
  std::vector<PublishedResult> rows;
  for (const auto& name : names) {
    const auto row =
        std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
    if (row == all.end()) {
      std::vector<std::string_view> known;
      known.reserve(all.size());
      for (const auto& one : all) {
        known.push_back(one.name);
      }
      throw_unknown_name("row", known, name);
    }
    if (std::any_of(rows.begin(), rows.end(), [&](const auto& one) { return one.name == name; })) {
      throw UsageError(formatted("row '{}' is given twice", name));
    }
    rows.push_back(*row);
  }
  return rows;
}

std::filesystem::path kept_training(const std::filesystem::path& folder, const PublishedResult& row,
                                    uint64_t seed) {
  return folder / formatted("{}.seed{}.safetensors", row.name, seed);
}

void check(const ReproduceOptions& options) {
  check_ranges(options);
  for (const auto& row : published_results(options.rows)) {
    check(row.config, options.compute);
  }
}

std::string Reproduction::diverged() const { return problem_of(trainings); }

Spread Reproduction::perplexity() const { return perplexity_of(trainings); }

double Reproduction::tokens_per_second() const { return speed_of(trainings); }

int64_t Reproduction::epochs() const {
  std::size_t fewest = trainings.front().result.epochs.size();
  for (const auto& training : trainings) {
    fewest = std::min(fewest, training.result.epochs.size());
  }
  return static_cast<int64_t>(fewest);
}

Verdict Reproduction::verdict() const {
  const double own = to_one_decimal(perplexity().mean);
  const auto [least, most] = published.perplexity;
  if (own <= most) {
    return own < least ? Verdict::kBetter : Verdict::kPass;
  }
  return diverged().empty() && epochs() < kPublishedEpochs ? Verdict::kNotYet : Verdict::kFail;
}

std::vector<Reproduction> reproduce(const std::filesystem::path& text,
                                    const std::filesystem::path& folder, torch::Device device,
                                    const ReproduceOptions& options,
                                    const ReproduceCallbacks& callbacks) {
  check(options);
  const auto corpus = read_corpus(text, record_of({}, options, 0).corpus);
  if (!is_time_machine(corpus.fingerprint)) {
    throw Error(
        formatted("{}: is not The Time Machine that the published results are of", text.string()));
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw Error(formatted("{}: cannot be made: {}", folder.string(), error.message()));
  }
  std::vector<Reproduction> rows;
  for (const auto& published : published_results(options.rows)) {
    auto& row = rows.emplace_back(Reproduction{.published = published});
    for (uint64_t seed = 0; seed < static_cast<uint64_t>(options.seeds); ++seed) {
      auto record = record_of(published, options, seed);
      record.texts = {std::filesystem::absolute(text).lexically_normal().string()};
      record.fingerprint = corpus.fingerprint;
      record.settings["device"] = device.is_cuda() ? "cuda" : "cpu";  // as train has it
      KeptTraining training(corpus, device, published.config, record,
                            kept_training(folder, published, seed));
      row.effective = training.effective();
      auto& studied = row.trainings.emplace_back();
      try {
        studied.result = training.run(callbacks ? callbacks(published, seed, training.history())
                                                : TrainCallbacks{});
      } catch (const Diverged& problem) {
        studied = {.result = {.epochs = training.history()}, .diverged = problem.what()};
      }
    }
  }
  return rows;
}

}  // namespace unroll
