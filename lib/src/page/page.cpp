#include "page/page.h"

#include "base/formatted.h"
#include "page/assets.h"
#include "page/figure.h"
#include "page/html.h"

namespace unroll {
namespace {

// A JSON text that cannot end the element it stands in.
std::string for_script(const std::string& json) {
  std::string safe;
  for (const char c : json) {
    safe += c == '<' ? "\\u003c" : std::string(1, c);
  }
  return safe;
}

}  // namespace

std::string to_html(const Page& page) {
  const auto refresh = page.refresh_seconds > 0 ? formatted("{}", page.refresh_seconds) : "";
  // Whatever a text brings, the page may fetch nothing.
  std::string head =
      "<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  if (!refresh.empty()) {
    head +=
        formatted("<noscript><meta http-equiv=\"refresh\" content=\"{}\"></noscript>\n", refresh);
  }
  head += element("title", escaped(page.title)) + "\n";
  head += formatted("<style>\n{}</style>\n", page_style());
  return formatted(
      "<!DOCTYPE html>\n<html lang=\"en\"{}>\n<head>\n{}</head>\n<body>\n<main>\n<h1>{}</h1>\n{}"
      "</main>\n<script type=\"application/json\" id=\"result\">{}</script>\n"
      "<script>\n{}</script>\n</body>\n</html>\n",
      refresh.empty() ? "" : formatted(" data-refresh=\"{}\"", refresh), head, escaped(page.title),
      page.body, for_script(page.result), page_script());
}

std::string status_line(std::string_view text) {
  return element("p", escaped(text), {{"class", "status"}}) + "\n";
}

std::string running_status(std::string_view what, int64_t done, int64_t epochs,
                           std::string_view written_at) {
  return status_line(formatted("{}: {} of {} done at {}. This page refreshes itself.", what, done,
                               counted(epochs, "epoch"), written_at));
}

std::string section(std::string_view heading, const std::string& content) {
  return content.empty()
             ? ""
             : formatted("<section>\n<h2>{}</h2>\n{}</section>\n", escaped(heading), content);
}

std::string facts(const std::vector<std::pair<std::string, std::string>>& all) {
  std::string html;
  for (const auto& [name, value] : all) {
    html += element("div", element("dt", escaped(name)) + element("dd", value));
  }
  return element("dl", html) + "\n";
}

std::string figures(const std::vector<Chart>& charts) {
  std::string html;
  for (const auto& chart : charts) {
    html += figure(chart);
  }
  return html.empty() ? html : element("div", html, {{"class", "charts"}}) + "\n";
}

std::string section_of(const Provenance& provenance) {
  return section(
      "Command",
      element("pre", escaped(provenance.command), {{"class", "command"}, {"tabindex", "0"}}) +
          element("p",
                  escaped(formatted("Computed on {} by {}.", provenance.machine, provenance.build)),
                  {{"class", "quiet"}}) +
          "\n");
}

}  // namespace unroll
