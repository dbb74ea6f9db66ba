#include "page/inspection.h"

#include <algorithm>
#include <limits>
#include <numbers>
#include <utility>

#include "base/formatted.h"
#include "page/chart.h"
#include "page/html.h"
#include "page/page.h"
#include "study/gradient_flow.h"
#include "study/selective_units.h"
#include "study/spectrum.h"
#include "unroll/text.h"

namespace unroll {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Calls with each token as a reader sees it, after what stands between it and the one before.
template <typename Take>
void read_tokens(const torch::Tensor& tokens, const Vocab& vocab, const Take& take) {
  const auto indices = tokens.to(torch::kCPU, torch::kInt64).contiguous();
  const auto* index = indices.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < indices.size(0); ++i) {
    const auto& token = vocab.to_token(index[i]);
    std::string text;
    if (i > 0) {
      text += gap_between(vocab.to_token(index[i - 1]), token, vocab.kind());
    }
    text += index[i] == Vocab::unk() ? "\xef\xbf\xbd" : token;
    take(i, std::move(text));
  }
}

// Stretches (B,T+1) from a text: where it is long enough eight of them, spread over it.
torch::Tensor stretches_of(const torch::Tensor& tokens, int64_t num_steps) {
  constexpr int64_t kMost = 8;
  const int64_t T = std::min(num_steps, tokens.size(0) - 1);
  const int64_t B = std::clamp<int64_t>(tokens.size(0) / (T + 1), 1, kMost);
  const int64_t stride = tokens.size(0) / B;
  std::vector<torch::Tensor> rows;
  for (int64_t b = 0; b < B; ++b) {
    rows.push_back(tokens.narrow(0, b * stride, T + 1));
  }
  return torch::stack(rows).to(torch::kInt64);
}

Chart flow_chart(const Inspected& model) {
  const auto flow = gradient_flow(model.config, model.weights,
                                  stretches_of(model.tokens, model.num_steps), model.clip);
  Chart chart{.title = "How far the gradient reaches back",
              .about = formatted(
                  "Norm of the last loss's gradient by the state so many steps before. Each step "
                  "back multiplies it by one more matrix, so that it fades or explodes. Clipping "
                  "shortens all of it alike: here the whole gradient has norm {:.3g}, and the "
                  "factor is {:.3g}.",
                  flow.norm, flow.clip_factor),
              .xlabel = "steps back",
              .ylabel = "gradient norm",
              .log_y = true};
  const auto add = [&](const std::string& name, const std::vector<double>& norms, double factor) {
    Series series{.name = name};
    for (std::size_t k = 0; k < norms.size(); ++k) {
      series.x.push_back(static_cast<double>(k));
      series.y.push_back(norms[k] > 0 ? factor * norms[k] : kNaN);
    }
    chart.series.push_back(std::move(series));
  };
  add("by h", flow.h, 1);
  add("by h, clipped", flow.h, flow.clip_factor);
  if (!flow.c.empty()) {
    add("by c", flow.c, 1);
    add("by c, clipped", flow.c, flow.clip_factor);
  }
  return chart;
}

std::vector<Chart> spectrum_charts(const Inspected& model) {
  constexpr int64_t kMostHidden = 1024;  // beyond it they take longer than anyone waits
  if (model.config.hidden > kMostHidden) {
    return {};
  }
  Chart values{.title = "Singular values of the recurrent matrices",
               .about = "By how much one step can stretch the state, in H directions.",
               .xlabel = "direction",
               .ylabel = "singular value",
               .limit = Chart::Limit{.name = "as long as before", .y = 1}};
  Chart plane{.title = "Their eigenvalues",
              .about = "Inside the circle a direction fades from step to step, outside it grows.",
              .xlabel = "real part",
              .ylabel = "imaginary part",
              .kind = Chart::Kind::kPoints,
              .equal_axes = true,
              .unit_circle = true};
  for (const auto& spectrum : spectra_of(model.config, model.weights)) {
    const auto name = model.config.layers > 1
                          ? formatted("{} of layer {}", spectrum.name, spectrum.layer + 1)
                          : spectrum.name;
    Series singular{.name = name};
    Series eigen{.name = name};
    for (const double value : spectrum.singular_values) {
      singular.x.push_back(static_cast<double>(singular.x.size() + 1));
      singular.y.push_back(value);
    }
    for (const auto& value : spectrum.eigenvalues) {
      eigen.x.push_back(value.real());
      eigen.y.push_back(value.imag());
    }
    values.series.push_back(std::move(singular));
    plane.series.push_back(std::move(eigen));
  }
  return {values, plane};
}

std::string units_of(const Inspected& model) {
  constexpr int64_t kShownUnits = 8;
  constexpr int64_t kShownTokens = 600;
  std::string html;
  const auto shown = model.tokens.narrow(0, 0, std::min(kShownTokens, model.tokens.size(0)));
  for (const auto& unit :
       selective_units(model.config, model.weights, model.tokens, model.vocab, kShownUnits)) {
    std::vector<ColouredToken> tokens;
    read_tokens(shown, model.vocab, [&](int64_t i, std::string text) {
      const double activation = unit.activations[static_cast<std::size_t>(i)];
      tokens.push_back({std::move(text), activation, formatted("{:.3f}", activation)});
    });
    const auto where = model.config.layers > 1 ? formatted(" of layer {}", unit.layer + 1) : "";
    html += coloured_text(
        formatted("Unit {}{} follows {}{}: correlation {:.2f}", unit.unit, where, unit.follows,
                  unit.needs_memory ? ", which takes memory" : "", unit.correlation),
        tokens, Scale::kActivation);
  }
  return html.empty() ? html : colour_key(Scale::kActivation) + html;
}

}  // namespace

std::string inspection(const Inspected& model) {
  auto charts = std::vector{flow_chart(model)};
  for (auto& chart : spectrum_charts(model)) {
    charts.push_back(std::move(chart));
  }
  return section("What it remembers", figures(charts)) +
         section("Units that follow something", units_of(model));
}

std::vector<ColouredToken> coloured_by_surprise(const torch::Tensor& tokens, const Vocab& vocab,
                                                std::span<const float> nats) {
  std::vector<ColouredToken> all;
  read_tokens(tokens, vocab, [&](int64_t i, std::string text) {
    const double bits = nats[static_cast<std::size_t>(i)] / std::numbers::ln2;
    all.push_back(
        {std::move(text), i == 0 ? kNaN : bits,
         i == 0 ? "the first token, which nothing predicts" : formatted("{:.3f} bits", bits)});
  });
  return all;
}

}  // namespace unroll
