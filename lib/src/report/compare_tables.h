#pragma once

#include <string>

#include "report/table.h"
#include "unroll/study.h"

namespace unroll {

/// Of each quantity the largest differences from the first model, at first and once trained; no
/// rows without a model of the same function.
Table differences_table(const Comparison& comparison);
std::string differences_caption(const Comparison& comparison);

/// Sentences, a line each: which models are no such model and why, what diverged.
std::string notes(const Comparison& comparison);

/// By epoch, of the first seed; about ten rows, the first and the last among them.
Table perplexity_table(const Comparison& comparison);
std::string perplexity_caption(const Comparison& comparison);

/// What each model came to, a row each.
Table results_table(const Comparison& comparison);

/// Sentences, a line each, on how to read the results.
std::string notes_on_results(const Comparison& comparison);

}  // namespace unroll
