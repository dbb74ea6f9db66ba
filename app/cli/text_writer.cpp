#include "cli/text_writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/message.h"
#include "report/generated_text.h"
#include "report/visible_text.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

// Whether someone may be waiting at the other end: of a terminal or a pipe, not of a file.
bool stdout_is_read_at_once() {
  struct stat status {};
  return fstat(STDOUT_FILENO, &status) != 0 || !S_ISREG(status.st_mode);
}

// Bytes, whatever they are; throws once nobody takes them any more.
void write_out(std::string_view text) {
  static const bool at_once = stdout_is_read_at_once();
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (at_once) {
    std::fflush(stdout);
  }
  if (std::ferror(stdout) != 0) {
    throw Error("standard output cannot be written");
  }
}

}  // namespace

void TextWriter::write(const std::vector<std::string>& prompts, const GenerateOptions& options) {
  if (!settings_.json && prompts.size() == 1 && settings_.samples == 1) {
    stream(prompts.front(), options);
    return;
  }
  constexpr std::size_t kTexts = 1024;  // in memory at a time, but for the samples of one prompt
  const auto most =
      static_cast<std::ptrdiff_t>(std::max<std::size_t>(kTexts / settings_.samples, 1));
  auto group_options = options;
  for (auto begin = prompts.begin(); begin != prompts.end();) {
    const auto end = begin + std::min(most, prompts.end() - begin);
    write_group({begin, end}, group_options);
    group_options.first += (end - begin) * static_cast<std::ptrdiff_t>(settings_.samples);
    begin = end;
  }
}

void TextWriter::write_group(const std::vector<std::string>& prompts,
                             const GenerateOptions& options) {
  if (settings_.json) {
    write_objects(prompts, options);
    return;
  }
  for (const auto& text : continued(prompts, options)) {
    write_out(shown_on(stdout, text));
    write_out(settings_.separator);
  }
}

std::vector<std::string> TextWriter::continued(const std::vector<std::string>& prompts,
                                               const GenerateOptions& options,
                                               const TokenCallback& on_token) {
  std::vector<std::string> batch;
  for (const auto& prompt : prompts) {
    batch.insert(batch.end(), settings_.samples, prompt);
  }
  return unroll::generate(batch, settings_.length, net_, vocab_, options, {}, on_token);
}

void TextWriter::stream(const std::string& prompt, const GenerateOptions& options) {
  VisibleText visible_text(kKeptOnTerminal);
  const bool terminal = is_terminal(stdout);
  const auto show = [&](std::string_view piece) {
    write_out(terminal ? visible_text.feed(piece) : std::string(piece));
  };
  show(prompt);
  unroll::generate({prompt}, settings_.length, net_, vocab_, options,
                   [&](std::size_t, std::string_view piece) { show(piece); });
  write_out(visible_text.finish());
  write_out(settings_.separator);
}

void TextWriter::write_objects(const std::vector<std::string>& prompts,
                               const GenerateOptions& options) {
  std::vector<GeneratedReport> reports(prompts.size() * settings_.samples);
  const auto texts = continued(prompts, options, [&](std::size_t i, int64_t, double nats) {
    ++reports[i].tokens;
    reports[i].nats += nats;
  });
  for (std::size_t i = 0; i < texts.size(); ++i) {
    reports[i].prompt = prompts[i / settings_.samples];
    reports[i].text = texts[i];
    reports[i].seed = options.seed;
    reports[i].sample = static_cast<int64_t>(i % settings_.samples);
    write_out(to_json(reports[i]) + "\n");
  }
}

}  // namespace unroll::app
