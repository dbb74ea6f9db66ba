// Whatever bytes a text has, and wherever they are cut into pieces, its tokens are the same, or its
// error is; valid is what utf8proc takes for valid, and characters come out in its NFC. Two files
// are read as what ends the first one's characters and begins the second one's.

#include <torch/types.h>
#include <utf8proc.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "folder.h"
#include "require.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/text.h"

namespace unroll {
namespace {

struct Result {
  std::vector<std::string> tokens;  // up to the error, if there is one
  std::string error;

  bool operator==(const Result&) const = default;
};

template <typename Feed>
Result tokens_of(const TextOptions& options, const Feed& feed) {
  Result result;
  try {
    Tokenizer tokenizer(options,
                        [&](std::string_view token) { result.tokens.emplace_back(token); });
    feed(tokenizer);
    tokenizer.finish();
  } catch (const Error& error) {
    result.tokens.clear();  // how far it came depends on the pieces
    result.error = error.what();
  }
  return result;
}

// The same by way of the corpus, which has a path of its own for tokens that are known.
template <typename Read>
Result tokens_of_corpus(const TextOptions& options, const Read& read) {
  Result result;
  try {
    const Corpus corpus = read(CorpusOptions{.text = options, .max_tokens = 0});
    const auto indices = corpus.indices.to(torch::kInt64);
    for (int64_t i = 0; i < corpus.size(); ++i) {
      result.tokens.emplace_back(corpus.vocab.to_token(indices.data_ptr<int64_t>()[i]));
    }
    require(options.tokens != TokenKind::kChar || corpus.characters == corpus.size(),
            "a token by character is one character");
    require(corpus.unknown == 0, "a text's own vocabulary knows its tokens");
  } catch (const Error& error) {
    result.error = error.what();
  }
  return result;
}

// Where utf8proc finds the first byte of what is no character.
std::optional<std::size_t> first_invalid(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    utf8proc_int32_t code_point = 0;
    const auto size =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                         static_cast<utf8proc_ssize_t>(text.size() - at), &code_point);
    if (size < 0) {
      return at;
    }
    at += static_cast<std::size_t>(size);
  }
  return std::nullopt;
}

std::string joined(const std::vector<std::string>& tokens) {
  std::string text;
  for (const auto& token : tokens) {
    text += token;
  }
  return text;
}

// Of valid UTF-8, as text.h describes Normalize::kNone; nothing where more characters follow on
// each other than form C is brought about in at once.
std::optional<std::string> expected_text(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) {
    text.remove_prefix(3);
  }
  std::string kept;
  int beyond_ascii = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    beyond_ascii = (text[i] & 0x80) == 0 ? 0 : beyond_ascii + 1;
    if (beyond_ascii > 30) {
      return std::nullopt;
    }
    if (text.substr(i, 2) != "\r\n") {
      kept += text[i] == '\r' ? '\n' : text[i];
    }
  }
  utf8proc_uint8_t* mapped = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(kept.data()),
                   static_cast<utf8proc_ssize_t>(kept.size()), &mapped,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  require(size >= 0, "utf8proc composes what it takes for valid");
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, std::free);
  return std::string(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
}

// Read from two files, as the command reads them.
void check_two_files(const TextOptions& options, std::string_view first, std::string_view second) {
  const auto expected = tokens_of(options, [&](Tokenizer& tokenizer) {
    tokenizer.feed(first);
    tokenizer.end_file();
    tokenizer.feed(second);
  });
  const std::vector<std::filesystem::path> files{folder().write("first", first),
                                                 folder().write("second", second)};
  const auto read = tokens_of_corpus(options, [&](const CorpusOptions& corpus_options) {
    return read_corpus(files, corpus_options);
  });
  const auto binary = [](std::string_view file) {
    return file.find('\0') != std::string_view::npos || file.starts_with("\xFF\xFE") ||
           file.starts_with("\xFE\xFF");
  };
  if (read.error.empty() || !(binary(first) || binary(second))) {
    require(read.tokens == expected.tokens, "two files have their texts' tokens");
    require(expected.error.empty() || read.error.ends_with(expected.error),
            "an error in one of two files is that of its text");
  }
}

void check_characters(const TextOptions& options, std::string_view text, const Result& result) {
  const auto invalid = first_invalid(text);
  if (options.invalid_utf8 == InvalidUtf8::kRefuse) {
    require(invalid.has_value() == !result.error.empty(), "what is not valid is an error");
    require(!invalid || result.error.starts_with("byte " + std::to_string(*invalid) + " "),
            "an error names the first byte that is not valid");
  }
  if (!result.error.empty()) {
    return;
  }
  for (const auto& token : result.tokens) {
    require(!token.empty() && !first_invalid(token), "a token is valid");
  }
  if (!invalid && options.tokens == TokenKind::kChar) {
    const auto expected = expected_text(text);
    require(!expected || joined(result.tokens) == *expected, "characters are in form C");
  }
}

}  // namespace
}  // namespace unroll

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace unroll;
  if (size < 2) {
    return 0;
  }
  const TextOptions options{
      .normalize = (data[0] & 1) != 0 ? Normalize::kLetters : Normalize::kNone,
      .tokens = static_cast<TokenKind>(data[0] / 2 % 3),
      .invalid_utf8 = (data[0] & 8) != 0 ? InvalidUtf8::kReplace : InvalidUtf8::kRefuse};
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);

  const auto whole = tokens_of(options, [&](Tokenizer& tokenizer) { tokenizer.feed(text); });
  const auto pieces = tokens_of(options, [&](Tokenizer& tokenizer) {
    std::minstd_rand random(data[1]);
    for (std::size_t at = 0; at < text.size();) {
      const auto piece = text.substr(at, random() % 5);
      tokenizer.feed(piece);
      at += piece.size();
    }
  });
  if (whole.error.empty()) {
    ++taken;
  }
  require(whole == pieces, "where a text is cut makes no difference");
  const auto indexed = tokens_of_corpus(options, [&](const CorpusOptions& corpus_options) {
    return make_corpus(text, corpus_options);
  });
  require(whole.tokens == indexed.tokens, "a corpus has the text's tokens");
  if ((data[0] & 16) != 0 && text.size() > 1) {
    const auto cut = 1 + data[1] % (text.size() - 1);
    check_two_files(options, text.substr(0, cut), text.substr(cut));
  }

  if (options.normalize == Normalize::kLetters) {
    require(options.invalid_utf8 == InvalidUtf8::kReplace ||
                first_invalid(text).has_value() == !whole.error.empty(),
            "letters are those of valid text");
    require(
        joined(whole.tokens).find_first_not_of("abcdefghijklmnopqrstuvwxyz ") == std::string::npos,
        "only letters and spaces stay");
  } else if (options.tokens == TokenKind::kByte) {
    require(joined(whole.tokens) == text, "bytes stay as they are");
  } else {
    check_characters(options, text, whole);
  }
  return 0;
}
