#include "study/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numbers>

#include "base/formatted.h"
#include "study/visible_text.h"

namespace unroll {
namespace {

using Json = nlohmann::ordered_json;

// The model that the others are compared with.
constexpr std::string_view kReference = "scratch";

// A prediction by byte need not be valid UTF-8; JSON must be. Control characters beyond ASCII's
// first, which JSON takes as they are and some terminals obey, are escaped like those.
std::string dump(const Json& json) {
  const auto text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string escaped;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte == 0x7F) {
      escaped += "\\u007f";
    } else if (byte == 0xC2 && next < 0xA0) {
      escaped += formatted("\\u{:04x}", next);
      ++i;
    } else {
      escaped += text[i];
    }
  }
  return escaped;
}

// `model` is what the row or the training calls it, `compute` and `precision` what was in force.
Json to_json_object(std::string_view model, const ModelConfig& config, const Compute& effective) {
  return {{"model", model},
          {"compute", to_string(effective.backend)},
          {"cell", to_string(config.cell)},
          {"hidden", config.hidden},
          {"layers", config.layers},
          {"precision", to_string(effective.precision)}};
}

Json to_json_object(const Differences& differences) {
  return {{"logits", differences.logits},
          {"states", differences.states},
          {"gradients", differences.gradients}};
}

}  // namespace

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
            {"threads", report.threads}};
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
  json.update(to_json_object(to_string(config.model.value()), config, report.effective));
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

double EvaluateReport::bits_per_character() const {
  return result.nats / std::numbers::ln2 / static_cast<double>(characters);
}

std::string summary(const EvaluateReport& report) {
  const auto& result = report.result;
  const auto known = result.unknown > 0 ? formatted(", {:.4f} without the unknown tokens",
                                                    result.known_perplexity())
                                        : std::string();
  auto text = formatted(
      "perplexity {:.4f}{}\n"
      "{:.4f} nats, {:.4f} bits a token\n"
      "{:.4f} bits a {}\n"
      "{} predicted in {}, {} of the text unknown\n",
      result.perplexity(), known, result.nats_per_token(), result.bits_per_token(),
      report.bits_per_character(), report.tokens == TokenKind::kByte ? "byte" : "character",
      counted(result.tokens, "token"), counted(result.rows, "row"), report.unknown);
  if (const auto& copied = report.copied; copied && copied->span.length == 0) {
    text += formatted("nothing is copied from {}\n", copied->source);
  } else if (copied) {
    text += formatted("longest copied span: {} tokens, at token {} here and {} in {}: {}\n",
                      copied->span.length, copied->span.sample_start, copied->span.source_start,
                      copied->source, dump(copied->text));
  }
  return text;
}

std::string to_json(const EvaluateReport& report) {
  const auto& result = report.result;
  Json json{{"perplexity", result.perplexity()},
            {"known_perplexity", result.known_perplexity()},
            {"nats_per_token", result.nats_per_token()},
            {"bits_per_token", result.bits_per_token()},
            {"bits_per_character", report.bits_per_character()},
            {"tokens", result.tokens},
            {"characters", report.characters},
            {"unknown", report.unknown},
            {"batch_size", result.rows},
            {"text", report.text}};
  if (const auto& copied = report.copied) {
    json["copied"] = {{"length", copied->span.length},
                      {"text_start", copied->span.sample_start},
                      {"source_start", copied->span.source_start},
                      {"source", copied->source},
                      {"span", copied->text}};
  }
  return dump(json);
}

std::string to_json(const GeneratedReport& report) {
  return dump({{"prompt", report.prompt},
               {"text", report.text},
               {"tokens", report.tokens},
               {"seed", report.seed},
               {"sample", report.sample},
               {"nats_per_token", report.nats / static_cast<double>(report.tokens)}});
}

std::string score_header() { return "perplexity\tnats\ttokens\tunknown\twhere"; }

std::string score_row(const Score& score) {
  const auto& result = score.result;
  const auto where =
      score.line > 0 ? formatted("{}:{}\t{}", score.text, score.line, score.content) : score.text;
  return formatted("{}\t{:.4f}\t{}\t{}\t{}",
                   result.tokens > 0 ? formatted("{:.4f}", result.perplexity()) : std::string("-"),
                   result.nats, result.tokens, result.unknown, visible(where, "\t"));
}

std::string to_json(const Score& score) {
  const auto& result = score.result;
  Json json{{"perplexity", result.perplexity()},
            {"known_perplexity", result.known_perplexity()},
            {"nats", result.nats},
            {"tokens", result.tokens},
            {"unknown", result.unknown},
            {"text", score.text}};
  if (score.line > 0) {
    json["line"] = score.line;
    json["content"] = score.content;
  }
  return dump(json);
}

std::string surprise_line(int64_t position, std::string_view token, int64_t index, float nats,
                          TokenKind kind) {
  const bool byte = kind == TokenKind::kByte && token.size() == 1;
  return dump({{"position", position},
               {"token", byte ? Json(static_cast<unsigned char>(token[0])) : Json(token)},
               {"index", index},
               {"nats", nats}});
}

std::string table(const Comparison& comparison) {
  std::string text =
      "From the same weights, on the first batch, the largest differences from scratch:\n";
  for (const auto& model : comparison.models) {
    if (model.setup.name() != kReference) {
      text += formatted("  {:<9}logits {:.1e}, states {:.1e}, gradients {:.1e}\n",
                        model.setup.name(), model.differences.logits, model.differences.states,
                        model.differences.gradients);
    }
  }
  text +=
      "While training, concise drifts away: torch::nn has two biases a gate, each with the whole "
      "gradient.\n\n";

  text += formatted("{:>8}", "epoch");
  for (const auto& model : comparison.models) {
    text += formatted("{:>22}", formatted("{} perplexity", model.setup.name()));
  }
  text += '\n';
  // About ten rows, the first and the last among them.
  std::size_t epochs = 0;
  for (const auto& model : comparison.models) {
    epochs = std::max(epochs, model.training.epochs.size());
  }
  const auto stride = std::max<std::size_t>(1, epochs / 10);
  for (std::size_t e = 0; e < epochs; ++e) {
    if (e != 0 && e != epochs - 1 && (e + 1) % stride != 0) {
      continue;
    }
    text += formatted("{:>8}", e + 1);
    for (const auto& model : comparison.models) {
      text += formatted("{:>22.4f}", model.training.epochs[e].perplexity);
    }
    text += '\n';
  }
  text += formatted("\n{:>8}", "tokens/s");
  for (const auto& model : comparison.models) {
    text += formatted("{:>22.1f}", model.training.tokens_per_second());
  }
  text += '\n';
  for (const auto& model : comparison.models) {
    for (const auto& prediction : model.training.predictions) {
      text += formatted("\n{:<9}{}", formatted("{}:", model.setup.name()), prediction);
    }
  }
  return text;
}

std::string to_json(const Comparison& comparison) {
  Json json;
  for (const auto& model : comparison.models) {
    if (const auto name = model.setup.name(); name != kReference) {
      json[name == "concise" ? "differences" : name + "_differences"] =
          to_json_object(model.differences);
    }
  }
  json["models"] = Json::array();
  for (const auto& model : comparison.models) {
    Json perplexities = Json::array();
    for (const auto& epoch : model.training.epochs) {
      perplexities.push_back(epoch.perplexity);
    }
    Json entry = to_json_object(model.setup.name(), model.setup.config, model.effective);
    entry["perplexity_by_epoch"] = perplexities;
    entry["perplexity"] = model.training.perplexity();
    entry["tokens_per_second"] = model.training.tokens_per_second();
    entry["seconds"] = model.training.seconds;
    entry["predictions"] = model.training.predictions;
    json["models"].push_back(entry);
  }
  return dump(json);
}

std::string table(const std::vector<BenchRow>& rows) {
  constexpr double kMebi = 1024.0 * 1024;
  // A column of its own only where graphs were asked for.
  const bool with_graphs = std::any_of(rows.begin(), rows.end(), [](const BenchRow& row) {
    return row.setup.compute.graph != GraphMode::kAuto;
  });
  const auto graph_column = [&](std::string_view value) {
    return with_graphs ? formatted("{:<6}", value) : std::string();
  };
  std::string text =
      formatted("{:<9}{:<10}{:<7}{}{:>7}{:>3}{:>8}{:>9}{:>20}{:>7}{:>9}{:>6}{:>7}{:>6}{:>6}{:>8}\n",
                "model", "cell", "in", graph_column("graph"), "hidden", "L", "threads", "tokens/s",
                "(range)", "ratio", "GFLOP/s", "peak", "fwd", "bwd", "upd", "MiB");
  for (const auto& row : rows) {
    const auto [low, high] =
        std::minmax_element(row.tokens_per_second.begin(), row.tokens_per_second.end());
    const auto& phases = row.phases;
    const double seconds = phases.forward + phases.backward + phases.update;
    const auto percent = [&](double part, double whole) {
      return whole > 0 ? formatted("{:.0f}%", 100 * part / whole) : std::string("-");
    };
    text += formatted(
        "{:<9}{:<10}{:<7}{}{:>7}{:>3}{:>8}{:>9.0f}{:>20}{:>7.2f}{:>9.1f}{:>6}{:>7}{:>6}{:>6}{:>8."
        "0f}"
        "\n",
        row.setup.name(), to_string(row.setup.config.cell), to_string(row.effective.precision),
        graph_column(to_string(row.setup.compute.graph)), row.setup.config.hidden,
        row.setup.config.layers, row.threads, row.median(),
        formatted("({:.0f}-{:.0f})", *low, *high), row.median() / rows.front().median(),
        row.flops / 1e9, percent(row.flops, row.peak), percent(phases.forward, seconds),
        percent(phases.backward, seconds), percent(phases.update, seconds),
        static_cast<double>(row.peak_bytes) / kMebi);
  }
  return text;
}

std::string to_json(const std::vector<BenchRow>& rows) {
  Json all = Json::array();
  for (const auto& row : rows) {
    Json entry = to_json_object(row.setup.name(), row.setup.config, row.effective);
    entry["threads"] = row.threads;
    entry["graph"] = to_string(row.setup.compute.graph);
    entry["captured"] = row.is_captured;
    entry["kernels"] = row.effective.backend == Backend::kFused;
    entry["tokens_per_second"] = row.median();
    entry["epochs"] = row.tokens_per_second;
    entry["ratio"] = row.median() / rows.front().median();
    entry["gflops"] = row.flops / 1e9;
    entry["peak_gflops"] = row.peak / 1e9;
    entry["share_of_peak"] = row.peak > 0 ? Json(row.flops / row.peak) : Json();
    entry["seconds"] = {{"forward", row.phases.forward},
                        {"backward", row.phases.backward},
                        {"update", row.phases.update}};
    entry["peak_bytes"] = row.peak_bytes;
    all.push_back(std::move(entry));
  }
  return dump({{"rows", all}});
}

}  // namespace unroll
