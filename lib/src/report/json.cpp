#include "report/json.h"

#include "base/formatted.h"

namespace unroll {

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

Json describe_model(std::string_view model, const ModelConfig& config, const Compute& effective) {
  return {{"model", model},
          {"compute", to_string(effective.backend)},
          {"cell", to_string(config.cell)},
          {"hidden", config.hidden},
          {"layers", config.layers},
          {"precision", to_string(effective.precision)}};
}

}  // namespace unroll
