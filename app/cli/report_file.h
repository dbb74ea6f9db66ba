#pragma once

#include <string>

#include "cli/options.h"
#include "page/page.h"

namespace unroll::app {

/// --report, in the group that is declared last.
void add_report_option(Options& options);

/// Where --report is written; empty if it is not given. Throws UsageError if it names no file.
std::string report_path(const Options& options);

/// Throws Error, naming the path, when --report is given and cannot be written there. An earlier
/// page stays.
void check_report_writable(const Options& options);

/// Replaces the page as a whole, so that a browser never reads half of one. Throws Error, naming
/// the path.
void write_report(const std::string& path, const std::string& html);

/// The command line and what computed it. `device` is as `describe` names it.
Provenance provenance_of(const Options& options, const std::string& device);

}  // namespace unroll::app
