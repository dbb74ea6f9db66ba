#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "page/chart.h"

namespace unroll {

/// Where a page's numbers come from.
struct Provenance {
  std::string command = {};  ///< that gave them, to copy into a shell
  std::string build = {};    ///< of unroll and LibTorch
  std::string machine = {};  ///< device and threads
};

/// An HTML page of its own: it opens from the disk, asks for nothing else, and can be read on a
/// phone, on paper, in the dark, without a pointer, and without its script.
struct Page {
  std::string title = {};
  std::string body = {};    ///< HTML
  std::string result = {};  ///< JSON text, which a program can take from the element `result`
  int refresh_seconds = 0;  ///< after which a browser reads it again; 0: never
};

std::string to_html(const Page& page);

/// How long a browser waits before it reads the page of a training that runs again.
inline constexpr int kRefreshSeconds = 4;

/// The line that says how a training goes or went.
std::string status_line(std::string_view text);

/// What it says while `what` (`Training`) goes on; `written_at` is when.
std::string running_status(std::string_view what, int64_t done, int64_t epochs,
                           std::string_view written_at);

/// A heading and what stands below it; empty if nothing does.
std::string section(std::string_view heading, const std::string& content);

/// The figures that come first: name and value, which is HTML.
std::string facts(const std::vector<std::pair<std::string, std::string>>& all);

/// Plots side by side where there is room.
std::string figures(const std::vector<Chart>& charts);

/// How to get the same again.
std::string section_of(const Provenance& provenance);

}  // namespace unroll
