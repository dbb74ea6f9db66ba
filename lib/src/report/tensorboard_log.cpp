#include "report/tensorboard_log.h"

#include "base/formatted.h"

namespace unroll {

TensorBoardLog::TensorBoardLog(const std::filesystem::path& folder,
                               const std::vector<EpochStats>& history)
    : file_(folder, static_cast<int64_t>(history.size()) + 1) {
  if (file_.is_first()) {
    for (const auto& stats : history) {
      write(stats);
    }
  }
}

void TensorBoardLog::write(const EpochStats& stats) {
  std::vector<Scalar> scalars{{"perplexity/train", stats.perplexity},
                              {"gradient norm", stats.grad_norm},
                              {"learning rate", stats.lr},
                              {"tokens per second", stats.tokens_per_second}};
  if (stats.valid_perplexity) {
    scalars.push_back({"perplexity/validation", *stats.valid_perplexity});
  }
  if (stats.skipped > 0) {
    scalars.push_back({"skipped steps", static_cast<double>(stats.skipped)});
  }
  file_.write(stats.epoch, scalars);
  written_ = stats.epoch;
}

void TensorBoardLog::write_sample(const EpochStats& stats, const std::string& text) {
  file_.write_text(stats.epoch, "sample/1", text);
  sampled_ = stats.epoch;
}

void TensorBoardLog::write_samples(const TrainResult& result) {
  if (result.epochs.empty() || result.epochs.back().epoch != written_) {
    return;
  }
  for (std::size_t i = 0; i < result.predictions.size(); ++i) {
    if (i > 0 || sampled_ != written_) {
      file_.write_text(written_, formatted("sample/{}", i + 1), result.predictions[i]);
    }
  }
}

}  // namespace unroll
