#include "unroll/text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "parse_enum.h"
#include "unroll/error.h"

namespace unroll {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

// Lower-case letter of each byte, 0 for a byte that is no letter.
constexpr std::array<char, 256> kLetterOf = [] {
  std::array<char, 256> table{};
  for (int c = 'a'; c <= 'z'; ++c) {
    table[c] = static_cast<char>(c);
    table[c - 'a' + 'A'] = static_cast<char>(c);
  }
  return table;
}();

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

// Throws Error unless `bytes`, which stand at `offset` in the text, are valid UTF-8.
void check_utf8(std::string_view bytes, int64_t offset) {
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(bytes.data());
  std::size_t at = 0;
  while (at < bytes.size()) {
    utf8proc_int32_t code_point = 0;
    const auto size =
        utf8proc_iterate(data + at, static_cast<utf8proc_ssize_t>(bytes.size() - at), &code_point);
    if (size <= 0) {
      throw Error(fmt::format("byte {} (0x{:02x}) is not valid UTF-8",
                              offset + static_cast<int64_t>(at), data[at]));
    }
    at += static_cast<std::size_t>(size);
  }
}

}  // namespace

std::string_view to_string(Normalize normalize) {
  return normalize == Normalize::kLetters ? "letters" : "none";
}

std::string_view to_string(TokenKind kind) {
  switch (kind) {
    case TokenKind::kWord:
      return "word";
    case TokenKind::kByte:
      return "byte";
    case TokenKind::kChar:
      break;
  }
  return "char";
}

Normalize parse_normalize(std::string_view name) {
  return parse_enum("normalize", name, std::array{Normalize::kLetters, Normalize::kNone});
}

TokenKind parse_token_kind(std::string_view name) {
  return parse_enum("tokens", name,
                    std::array{TokenKind::kChar, TokenKind::kWord, TokenKind::kByte});
}

void read_blocks(const std::filesystem::path& path, NulBytes nul_bytes,
                 const std::function<void(std::string_view)>& sink) {
  const std::string name = path.string();
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw Error(fmt::format("{}: is a directory, expected a text file", name));
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(fmt::format("{}: cannot be opened: {}", name, std::strerror(errno)));
  }
  std::string buffer(kBlockBytes, '\0');
  int64_t offset = 0;
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    const auto size = static_cast<std::size_t>(file.gcount());
    const std::string_view block(buffer.data(), size);
    if (const auto nul = block.find('\0');
        nul_bytes == NulBytes::kRefuse && nul != std::string_view::npos) {
      throw Error(fmt::format("{}: has a NUL byte at offset {}, expected a text file", name,
                              offset + static_cast<int64_t>(nul)));
    }
    sink(block);
    offset += static_cast<int64_t>(size);
  }
  if (file.bad()) {
    throw Error(fmt::format("{}: cannot be read: {}", name, std::strerror(errno)));
  }
  if (offset == 0) {
    throw Error(fmt::format("{}: is empty, expected a text", name));
  }
}

Tokenizer::Tokenizer(TextOptions options, std::function<void(std::string_view)> sink)
    : options_(options), sink_(std::move(sink)) {}

void Tokenizer::feed(std::string_view block) {
  for (const char c : block) {
    if (options_.normalize == Normalize::kNone) {
      keep(c);
    } else if (const char letter = kLetterOf[static_cast<unsigned char>(c)]; letter != 0) {
      put_letter(letter);
    } else if (c == '\n') {
      end_word();
      line_began_ = false;
      gap_ = false;
    } else {
      gap_ = true;
    }
    ++offset_;
  }
}

void Tokenizer::finish() {
  if (options_.tokens == TokenKind::kChar && !pending_.empty()) {
    end_code_point();
  }
  end_word();
}

void Tokenizer::put_letter(char letter) {
  const bool space = gap_ && line_began_;
  gap_ = false;
  line_began_ = true;
  if (options_.tokens == TokenKind::kWord) {
    if (space) {
      end_word();
    }
    pending_ += letter;
    return;
  }
  if (space) {
    sink_(" ");
  }
  sink_({&letter, 1});
}

void Tokenizer::keep(char c) {
  if (options_.tokens == TokenKind::kByte) {
    sink_({&c, 1});
    return;
  }
  if (options_.tokens == TokenKind::kWord) {
    if (c == '\n') {
      end_word();
      sink_("\n");
    } else if (is_space(c)) {
      end_word();
    } else {
      pending_ += c;
    }
    return;
  }
  if (pending_.empty()) {
    const auto byte = static_cast<unsigned char>(c);
    expected_ = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    if (expected_ == 1) {
      sink_({&c, 1});
      return;
    }
  }
  pending_ += c;
  if (pending_.size() == expected_) {
    ++offset_;
    end_code_point();
    --offset_;
  }
}

void Tokenizer::end_code_point() {
  check_utf8(pending_, offset_ - static_cast<int64_t>(pending_.size()));
  sink_(pending_);
  pending_.clear();
}

void Tokenizer::end_word() {
  if (options_.tokens == TokenKind::kWord && !pending_.empty()) {
    check_utf8(pending_, offset_ - static_cast<int64_t>(pending_.size()));
    sink_(pending_);
    pending_.clear();
  }
}

std::string normalize_letters(std::string_view line) {
  std::string letters;
  letters.reserve(line.size());
  Tokenizer tokenizer({.normalize = Normalize::kLetters, .tokens = TokenKind::kChar},
                      [&](std::string_view c) { letters.append(c); });
  tokenizer.feed(line);
  tokenizer.finish();
  return letters;
}

std::vector<std::string> read_time_machine(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  std::string line;
  const auto end_line = [&] {
    lines.push_back(normalize_letters(line));
    line.clear();
  };
  read_blocks(path, NulBytes::kRefuse, [&](std::string_view block) {
    for (auto end = block.find('\n'); end != std::string_view::npos; end = block.find('\n')) {
      line.append(block.substr(0, end));
      end_line();
      block.remove_prefix(end + 1);
    }
    line.append(block);
  });
  if (!line.empty()) {
    end_line();
  }
  return lines;
}

void tokenize_line(std::string_view line, TokenKind kind,
                   const std::function<void(std::string_view)>& sink) {
  Tokenizer tokenizer({.normalize = Normalize::kNone, .tokens = kind}, sink);
  tokenizer.feed(line);
  tokenizer.finish();
}

std::vector<std::vector<std::string>> tokenize(const std::vector<std::string>& lines,
                                               TokenKind kind) {
  std::vector<std::vector<std::string>> tokens;
  tokens.reserve(lines.size());
  for (const auto& line : lines) {
    auto& row = tokens.emplace_back();
    tokenize_line(line, kind, [&](std::string_view token) { row.emplace_back(token); });
  }
  return tokens;
}

}  // namespace unroll
