#include "cli/texts.h"

#include <algorithm>

#include "base/formatted.h"
#include "cli/progress.h"
#include "unroll/error.h"
#include "unroll/generate.h"

namespace unroll::app {

void add_corpus_options(Options& options) {
  options.group("Text")
      .list("text",
            "text to learn from, - for the standard input; repeatable: one after the other "
            "(default: the bundled sample)",
            "FILE")
      .fields(CorpusOptions{})
      .value("index", "keep the indexed text in a file for the next time; auto: beside the text",
             "auto|FILE");
}

void read_corpus_options(const Options& options, CorpusOptions& corpus) {
  options.read(corpus);
  check(corpus);
  const auto texts = options.paths("text");
  if (std::count(texts.begin(), texts.end(), kStandardInput) > 1) {
    throw UsageError("--text - can be given once: the standard input is read once");
  }
  read_index_path(options);
}

std::optional<std::filesystem::path> read_index_path(const Options& options) {
  if (!options.has("index")) {
    return std::nullopt;
  }
  const auto texts = options.paths("text");
  if (texts.empty()) {
    throw UsageError("--index needs --text: the bundled sample has no index");
  }
  auto index = options.path("index");
  if (index != "auto") {
    return index;
  }
  if (texts.size() > 1 || texts.front() == kStandardInput) {
    throw UsageError(formatted(
        "--index auto needs one text file, got {}; give --index a file name",
        texts.size() > 1 ? formatted("{} texts", texts.size()) : text_name(texts.front())));
  }
  return index_beside(texts.front());
}

Corpus read_with_hint(const std::function<Corpus()>& read) {
  try {
    return read();
  } catch (const InvalidUtf8Error& error) {
    throw Error(formatted("{} (--invalid-utf8 replace reads U+FFFD instead)", error.what()));
  }
}

Corpus load_corpus(const Options& options, const CorpusOptions& corpus) {
  const auto texts = options.paths("text");
  if (texts.empty()) {
    return make_corpus(sample_text(), corpus);
  }
  Progress progress(options.given("quiet"), 0);
  const auto show = [&](const ReadProgress& read) { progress.show(read); };
  const auto index = read_index_path(options);
  return read_with_hint([&] {
    return index ? read_kept_corpus(texts, *index, corpus, show) : read_corpus(texts, corpus, show);
  });
}

SeqDataLoader make_loader(const Options& options, const torch::Tensor& corpus,
                          const DataOptions& data, torch::Device device) {
  try {
    return {corpus, data, device};
  } catch (const Error& error) {
    throw Error(formatted("{}: {}", name_of_text(options), error.what()));
  }
}

std::string name_of_text(const Options& options) {
  const auto texts = options.paths("text");
  return texts.empty() ? "bundled text" : text_name(texts);
}

std::vector<std::string> fit_prompts(const Options& options, std::vector<std::string> prompts,
                                     Normalize normalize, const Vocab& vocab) {
  for (auto& prompt : prompts) {
    prompt = normalize_prompt(prompt, normalize);
    if (options.given("prompt")) {
      check_prompt(prompt, vocab);
    }
  }
  return prompts;
}

}  // namespace unroll::app
