#include "page/inspection.h"

#include <algorithm>
#include <limits>
#include <numbers>
#include <optional>
#include <utility>

#include "base/formatted.h"
#include "models/cell_kind.h"
#include "page/chart.h"
#include "page/html.h"
#include "page/page.h"
#include "report/seen_characters.h"
#include "report/shown_number.h"
#include "study/gradient_flow.h"
#include "study/selective_units.h"
#include "study/spectrum.h"
#include "unroll/text.h"

namespace unroll {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A text (N) as a reader sees it: `value_of(i)` is token i's, `colour` makes of a character what is
// shown of it.
template <typename ValueOf, typename Colour>
std::vector<ColouredToken> coloured(const torch::Tensor& tokens, const Vocab& vocab,
                                    const ValueOf& value_of, const Colour& colour) {
  const auto indices = tokens.to(torch::kCPU, torch::kInt64).contiguous();
  const auto* index = indices.const_data_ptr<int64_t>();
  std::vector<ColouredToken> all;
  std::string gap;
  SeenCharacters characters([&](const SeenCharacters::Character& character) {
    auto token = colour(character);
    token.text = std::exchange(gap, {}) + character.text;
    all.push_back(std::move(token));
  });
  for (int64_t i = 0; i < indices.size(0); ++i) {
    const auto& token = vocab.to_token(index[i]);
    if (i > 0) {
      if (const auto between = gap_between(vocab.to_token(index[i - 1]), token, vocab.kind());
          !between.empty()) {
        characters.finish();
        gap = between;
      }
    }
    characters.add(index[i] == Vocab::unk() ? "\xef\xbf\xbd" : token, value_of(i));
  }
  characters.finish();
  return all;
}

// Stretches (B,T+1) from a text: where it is long enough eight of them, spread over it.
torch::Tensor stretches_of(const torch::Tensor& tokens, int64_t num_steps) {
  constexpr int64_t kMost = 8;
  const int64_t T = std::min(num_steps, tokens.size(0) - 1);
  const int64_t B = std::clamp<int64_t>(tokens.size(0) / (T + 1), 1, kMost);
  const int64_t stride = tokens.size(0) / B;
  std::vector<torch::Tensor> rows;
  rows.reserve(static_cast<std::size_t>(B));
  for (int64_t b = 0; b < B; ++b) {
    rows.push_back(tokens.narrow(0, b * stride, T + 1));
  }
  return torch::stack(rows).to(torch::kInt64);
}

Chart flow_chart(const Inspected& model) {
  const auto flow = gradient_flow(model.config, model.weights,
                                  stretches_of(model.tokens, model.num_steps), model.clip);
  const bool is_clipped = flow.clip_factor < 1;
  Chart chart{
      .title = "How far the gradient reaches back",
      .about = formatted(
          "Norm of the last loss's gradient by the state so many steps before. {} so that it fades "
          "or explodes. The whole gradient has norm {:.3g}{}.",
          is_simple(cell_kind(model.config))
              ? "Each step back multiplies it by W_hh and by the slope of the activation,"
              : "On each step back the gates decide what is kept of it,",
          flow.norm,
          is_clipped ? formatted(", and clipping multiplies all of it by {:.3g}", flow.clip_factor)
          : model.clip > 0 ? formatted(", shorter than the bound of clipping, {}", model.clip)
                           : ", and nothing clips it"),
      .xlabel = "steps back",
      .ylabel = "gradient norm",
      .log_y = true,
      .whole_x = true};
  const auto add = [&](const std::string& name, const std::vector<double>& norms, double factor) {
    Series series{.name = name};
    for (std::size_t k = 0; k < norms.size(); ++k) {
      if (norms[k] > 0) {  // beyond, float32 has no smaller number
        series.x.push_back(static_cast<double>(k));
        series.y.push_back(factor * norms[k]);
      }
    }
    chart.series.push_back(std::move(series));
  };
  for (const auto& [name, norms] : {std::pair("by h", &flow.h), std::pair("by c", &flow.c)}) {
    if (!norms->empty()) {
      add(name, *norms, 1);
    }
    if (!norms->empty() && is_clipped) {
      add(formatted("{}, clipped", name), *norms, flow.clip_factor);
    }
  }
  return chart;
}

std::vector<Chart> spectrum_charts(const Inspected& model) {
  constexpr int64_t kMostHidden = 1024;  // beyond it they take longer than anyone waits
  if (model.config.hidden > kMostHidden) {
    return {};
  }
  const bool gated = !is_simple(cell_kind(model.config));
  Chart values{.title = "Singular values of the recurrent matrices",
               .about = gated ? "Of each gate's matrix. The gates decide what of it acts on the "
                                "state."
                              : "By how much one step can at most stretch the state, in H "
                                "directions.",
               .xlabel = "direction",
               .ylabel = "singular value",
               .whole_x = true,
               .limit = Chart::Limit{.name = "1", .y = 1}};
  Chart plane{.title = "Their eigenvalues",
              .about = gated ? "Of each gate's matrix; the circle is that of radius 1."
                             : "A direction inside the circle fades from step to step; one "
                               "outside can grow.",
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
    const auto tokens = coloured(
        shown, model.vocab,
        [&](int64_t i) {
          return std::optional<double>(unit.activations[static_cast<std::size_t>(i)]);
        },
        [](const SeenCharacters::Character& character) {
          return ColouredToken{.value = *character.last,
                               .shown = formatted("{:.3f}", *character.last)};
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
  if (model.config.cell == Cell::kMlp) {
    return section(
        "What it remembers",
        paragraphs("Nothing: an mlp has no state, so that each prediction and its gradient "
                   "see the last token alone."));
  }
  auto charts = std::vector{flow_chart(model)};
  for (auto& chart : spectrum_charts(model)) {
    charts.push_back(std::move(chart));
  }
  return section("What it remembers", figures(charts)) +
         section("Units that follow something", units_of(model));
}

std::vector<ColouredToken> coloured_by_surprise(const torch::Tensor& tokens, const Vocab& vocab,
                                                std::span<const float> nats) {
  return coloured(
      tokens, vocab,
      [&](int64_t i) {
        return i == 0 ? std::nullopt : std::optional<double>(nats[static_cast<std::size_t>(i)]);
      },
      [](const SeenCharacters::Character& character) {
        if (!character.sum) {
          return ColouredToken{.value = kNaN, .shown = "the first token, which nothing predicts"};
        }
        const double bits = *character.sum / std::numbers::ln2;
        return ColouredToken{.value = bits, .shown = formatted("{} bits", shown_number(bits, 3))};
      });
}

}  // namespace unroll
