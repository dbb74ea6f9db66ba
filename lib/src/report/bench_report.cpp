#include "report/bench_report.h"

#include <algorithm>

#include "base/formatted.h"
#include "report/json.h"

namespace unroll {

std::string table(const std::vector<BenchRow>& rows) {
  constexpr double kMebi = 1024.0 * 1024;
  // A column of its own only where graphs were asked for.
  const bool with_graphs = std::any_of(rows.begin(), rows.end(), [](const BenchRow& row) {
    return row.setup.compute.graph != GraphMode::kAuto;
  });
  const auto graph_column = [&](std::string_view value) {
    return with_graphs ? formatted("{:<6}", value) : std::string();
  };
  const auto inputs_column = [&](const auto& value) {
    return rows.front().inputs > 0 ? formatted("{:>7}", value) : std::string();
  };
  const bool with_ranks = rows.front().ranks > 1;
  const auto exchange_column = [&](const auto& value) {
    return with_ranks ? formatted("{:>6}", value) : std::string();
  };
  const auto rank_columns = [&](const auto& ranks, const auto& efficiency, const auto& speedup) {
    return with_ranks ? formatted("{:>6}{:>11}{:>9}", ranks, efficiency, speedup) : std::string();
  };
  std::string text = formatted(
      "{:<9}{:<10}{:<7}{}{}{:>7}{:>3}{:>8}{}{:>9}{:>20}{:>7}{:>9}{:>6}{:>7}{:>6}{}{:>6}{:>8}\n",
      "model", "cell", "in", graph_column("graph"), inputs_column("inputs"), "hidden", "L",
      "threads", rank_columns("ranks", "efficiency", "speed-up"), "tokens/s", "(range)", "ratio",
      "GFLOP/s", "peak", "fwd", "bwd", exchange_column("exch"), "upd", "MiB");
  for (const auto& row : rows) {
    const auto [low, high] =
        std::minmax_element(row.tokens_per_second.begin(), row.tokens_per_second.end());
    const auto& phases = row.phases;
    const double seconds = phases.forward + phases.backward + phases.exchange + phases.update;
    const auto percent = [&](double part, double whole) {
      return whole > 0 ? formatted("{:.0f}%", 100 * part / whole) : std::string("-");
    };
    text += formatted(
        "{:<9}{:<10}{:<7}{}{}{:>7}{:>3}{:>8}{}{:>9.0f}{:>20}{:>7.2f}{:>9.1f}{:>6}{:>7}{:>6}{}{:>6}{"
        ":>8."
        "0f}"
        "\n",
        row.setup.name(), to_string(row.setup.config.cell), to_string(row.effective.precision),
        graph_column(to_string(row.setup.compute.graph)), inputs_column(row.inputs),
        row.setup.config.hidden, row.setup.config.layers, row.threads,
        rank_columns(row.ranks, percent(row.efficiency(), 1), formatted("{:.2f}", row.speedup())),
        row.median(), formatted("({:.0f}-{:.0f})", *low, *high),
        row.median() / rows.front().median(), row.flops / 1e9, percent(row.flops, row.peak),
        percent(phases.forward, seconds), percent(phases.backward, seconds),
        exchange_column(percent(phases.exchange, seconds)), percent(phases.update, seconds),
        static_cast<double>(row.peak_bytes) / kMebi);
  }
  return text;
}

std::string to_json(const std::vector<BenchRow>& rows) {
  Json all = Json::array();
  for (const auto& row : rows) {
    Json entry = describe_model(row.setup.name(), row.setup.config, row.effective);
    if (row.inputs > 0) {
      entry["inputs"] = row.inputs;
    }
    entry["threads"] = row.threads;
    entry["ranks"] = row.ranks;
    if (row.ranks > 1) {
      entry["efficiency"] = row.efficiency();
      entry["speedup"] = row.speedup();
      entry["alone_on_its_rows"] = row.alone_on_its_rows;
      entry["alone"] = row.alone;
    }
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
    if (row.ranks > 1) {
      entry["seconds"]["exchange"] = row.phases.exchange;
    }
    entry["peak_bytes"] = row.peak_bytes;
    all.push_back(std::move(entry));
  }
  return dump({{"rows", all}});
}

}  // namespace unroll
