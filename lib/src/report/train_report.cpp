#include "report/train_report.h"

#include "base/formatted.h"
#include "report/json.h"

namespace unroll {

std::string summary(const TrainReport& report) {
  const auto last = report.result.epochs.empty() ? EpochStats{} : report.result.epochs.back();
  auto text = formatted("perplexity {:.1f}, {:.1f} tokens/s on {}", last.perplexity,
                        last.tokens_per_second, report.device);
  if (const auto* valid = report.result.last_validated()) {
    const auto& best = report.result.best;
    text += formatted("\nvalidation perplexity {:.2f}, at best {:.2f} after epoch {}{}",
                      *valid->valid_perplexity, best.perplexity, best.epoch,
                      report.result.stopped_early ? "; stopped early" : "");
    if (const auto known = valid->valid_known_perplexity) {
      text += formatted("\nvalidation perplexity {:.2f} without the {} of {} tokens that are <unk>",
                        *known, report.valid_unknown, report.valid_tokens);
    }
  }
  return text;
}

std::string to_json(const TrainReport& report) {
  Json json{{"perplexity", report.result.perplexity()},
            {"tokens_per_second", report.result.tokens_per_second()},
            {"device", report.device},
            {"epochs", report.result.epochs.size()},
            {"predictions", report.result.predictions},
            {"vocab_size", report.vocab_size},
            {"tokens", report.tokens},
            {"unknown", report.unknown},
            {"seconds", report.result.seconds},
            {"threads", report.threads},
            {"ranks", report.ranks}};
  if (const auto* valid = report.result.last_validated()) {
    json["valid_perplexity"] = *valid->valid_perplexity;
    if (valid->valid_known_perplexity) {
      json["valid_known_perplexity"] = *valid->valid_known_perplexity;
    }
    json["valid_tokens"] = report.valid_tokens;
    json["valid_unknown"] = report.valid_unknown;
    json["best_valid_perplexity"] = report.result.best.perplexity;
    json["best_epoch"] = report.result.best.epoch;
  }
  const auto config = resolved(report.config);
  json.update(describe_model(to_string(config.model.value()), config, report.effective));
  return dump(json);
}

std::string log_line(const EpochStats& stats) {
  Json json{{"epoch", stats.epoch},
            {"perplexity", stats.perplexity},
            {"tokens_per_second", stats.tokens_per_second},
            {"grad_norm", stats.grad_norm},
            {"seconds", stats.seconds},
            {"lr", stats.lr}};
  if (stats.valid_perplexity) {
    json["valid_perplexity"] = *stats.valid_perplexity;
  }
  if (stats.valid_known_perplexity) {
    json["valid_known_perplexity"] = *stats.valid_known_perplexity;
  }
  if (stats.skipped > 0) {
    json["skipped"] = stats.skipped;
  }
  return dump(json);
}

}  // namespace unroll
