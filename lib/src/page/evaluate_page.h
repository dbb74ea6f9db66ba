#pragma once

#include <string>
#include <vector>

#include "page/coloured_text.h"
#include "page/page.h"
#include "report/evaluate_report.h"

namespace unroll {

/// An evaluation as a page: its figures, and the text coloured by surprise. `tokens`: as many of
/// the text as are shown. `inspection`: HTML, what the model does.
std::string to_html(const EvaluateReport& report, const std::vector<ColouredToken>& tokens,
                    const std::string& inspection, const Provenance& provenance);

}  // namespace unroll
