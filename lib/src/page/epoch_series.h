#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "page/chart.h"
#include "unroll/train.h"

namespace unroll {

/// One figure by epoch, where it is finite.
template <typename Figure>
Series epoch_series(const std::string& name, const std::vector<EpochStats>& epochs,
                    const Figure& figure) {
  Series series{.name = name, .x = {}, .y = {}};
  for (const auto& stats : epochs) {
    if (const double value = figure(stats); std::isfinite(value)) {
      series.x.push_back(static_cast<double>(stats.epoch));
      series.y.push_back(value);
    }
  }
  return series;
}

/// The training's perplexity.
inline Series perplexity_series(const std::string& name, const std::vector<EpochStats>& epochs) {
  return epoch_series(name, epochs, [](const auto& stats) { return stats.perplexity; });
}

/// That of the text to validate on, where it was measured.
inline Series validation_series(const std::string& name, const std::vector<EpochStats>& epochs) {
  return epoch_series(name, epochs, [](const auto& stats) {
    return stats.valid_perplexity.value_or(std::numeric_limits<double>::quiet_NaN());
  });
}

/// The gradient's norm before clipping, mean over the steps.
inline Series norm_series(const std::string& name, const std::vector<EpochStats>& epochs) {
  return epoch_series(name, epochs, [](const auto& stats) { return stats.grad_norm; });
}

/// A plot of perplexities.
inline Chart perplexity_chart(std::string title, std::string about) {
  return {.title = std::move(title),
          .about = std::move(about),
          .xlabel = "epoch",
          .ylabel = "perplexity",
          .log_y = true,
          .whole_x = true};
}

/// A plot of gradient norms, where one that explodes does not hide the others.
inline Chart norm_chart(std::string about) {
  return {.title = "Gradient norm",
          .about = std::move(about),
          .xlabel = "epoch",
          .ylabel = "norm",
          .log_y = true,
          .whole_x = true};
}

}  // namespace unroll
