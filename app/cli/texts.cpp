#include "cli/texts.h"

#include <algorithm>

#include "base/formatted.h"
#include "cli/progress.h"
#include "unroll/error.h"
#include "unroll/generate.h"

namespace unroll::app {
namespace {

bool is_utf8(std::string_view text) {
  try {
    tokenize_line(text, TokenKind::kChar, [](std::string_view) {});
    return true;
  } catch (const InvalidUtf8Error&) {
    return false;
  }
}

// The first tokens of the text's first line that has any that are known: a prompt of one line, or
// none where the text's bytes are no characters.
std::vector<std::string> beginning_of(const Corpus& corpus) {
  const auto kind = corpus.text.tokens;
  const int64_t most = kind == TokenKind::kWord ? 2 : 12;
  std::string prompt;
  for (int64_t i = 0, taken = 0; i < corpus.size() && taken < most; ++i) {
    const auto index = corpus.indices[i].item<int64_t>();
    const auto& token = corpus.vocab.to_token(index);
    if (index != Vocab::unk() && token != "\n") {
      prompt += gap_between(prompt, token, kind);
      prompt += token;
      ++taken;
    } else if (taken > 0) {
      break;
    }
  }
  while (!is_utf8(prompt)) {  // bytes may end within a character
    prompt.pop_back();
  }
  return prompt.empty() ? std::vector<std::string>{} : std::vector{prompt};
}

}  // namespace

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

Corpus load_corpus(const Options& options, CorpusOptions& corpus,
                   const std::shared_ptr<Ranks>& ranks) {
  const auto texts = options.paths("text");
  if (!corpus.max_tokens) {
    corpus.max_tokens = notebook_max_tokens(texts);
  }
  if (texts.empty()) {
    return make_corpus(sample_text(), corpus);
  }
  Progress progress(options.given("quiet") || (ranks && ranks->rank() > 0), 0);
  const auto show = [&](const ReadProgress& read) { progress.show(read); };
  const auto index = read_index_path(options);
  return read_with_hint([&] {
    return index ? read_kept_corpus(texts, *index, corpus, show, ranks)
                 : read_corpus(texts, corpus, show);
  });
}

std::string describe_corpus(const Options& options, const Corpus& corpus) {
  const auto name = name_of_text(options);
  const auto unknown =
      corpus.unknown > 0 ? formatted(", {} of them <unk>", corpus.unknown) : std::string();
  if (corpus.size() == corpus.text_tokens) {
    return formatted("{}: all {}{}", name, counted(corpus.size(), "token"), unknown);
  }
  const auto* why = options.given("max-tokens") ? "as --max-tokens says"
                    : options.given("resume")   ? "as in the training so far"
                                                : "as in the notebook; --max-tokens 0 takes all";
  return formatted("{}: {} of {}{}, {}", name, corpus.size(), counted(corpus.text_tokens, "token"),
                   unknown, why);
}

SeqDataLoader make_loader(const Options& options, const torch::Tensor& corpus,
                          const DataOptions& data, torch::Device device,
                          const std::string& before) {
  try {
    return {corpus, data, device};
  } catch (const Error& error) {
    throw Error(formatted("{}: {}{}", name_of_text(options), before, error.what()));
  }
}

std::string name_of_text(const Options& options) {
  const auto texts = options.paths("text");
  return texts.empty() ? "bundled text" : text_name(texts);
}

std::vector<std::string> fit_prompts(const Options& options, std::vector<std::string> prompts,
                                     const Corpus& corpus) {
  const auto is_known = [&](const std::string& prompt) {
    const auto indices = token_indices(prompt, corpus.text, corpus.vocab);
    return !indices.empty() &&
           std::find(indices.begin(), indices.end(), Vocab::unk()) == indices.end();
  };
  if (!options.given("prompt") && !std::all_of(prompts.begin(), prompts.end(), is_known)) {
    return beginning_of(corpus);
  }
  for (auto& prompt : prompts) {
    prompt = fit_prompt(prompt, corpus.text, corpus.vocab);
  }
  return prompts;
}

}  // namespace unroll::app
