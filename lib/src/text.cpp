#include "unroll/text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "unroll/error.h"

namespace unroll {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

// Cuts blocks into lines; a line that spans blocks is put together in `carry_`.
class LineSplitter {
 public:
  explicit LineSplitter(const std::function<void(const Line&)>& sink) : sink_(sink) {}

  void feed(std::string_view block) {
    for (auto end = block.find('\n'); end != std::string_view::npos; end = block.find('\n')) {
      emit(block.substr(0, end), true);
      block.remove_prefix(end + 1);
    }
    carry_.append(block);
  }

  void finish() {
    if (!carry_.empty()) {
      emit({}, false);
    }
  }

 private:
  void emit(std::string_view piece, bool terminated) {
    if (!carry_.empty()) {
      carry_.append(piece);
      piece = carry_;
    }
    sink_({piece, offset_, terminated});
    offset_ += static_cast<int64_t>(piece.size()) + (terminated ? 1 : 0);
    carry_.clear();
  }

  const std::function<void(const Line&)>& sink_;
  std::string carry_;
  int64_t offset_ = 0;
};

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
  for (const auto normalize : {Normalize::kLetters, Normalize::kNone}) {
    if (name == to_string(normalize)) {
      return normalize;
    }
  }
  throw UsageError(fmt::format("normalize must be letters or none, got '{}'", name));
}

TokenKind parse_token_kind(std::string_view name) {
  for (const auto kind : {TokenKind::kChar, TokenKind::kWord, TokenKind::kByte}) {
    if (name == to_string(kind)) {
      return kind;
    }
  }
  throw UsageError(fmt::format("tokens must be char, word or byte, got '{}'", name));
}

void read_lines(const std::filesystem::path& path, bool binary,
                const std::function<void(const Line&)>& sink) {
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
  LineSplitter lines(sink);
  std::string buffer(kBlockBytes, '\0');
  int64_t offset = 0;
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    const auto size = static_cast<std::size_t>(file.gcount());
    const std::string_view block(buffer.data(), size);
    if (const auto nul = block.find('\0'); !binary && nul != std::string_view::npos) {
      throw Error(fmt::format("{}: has a NUL byte at offset {}, expected a text file", name,
                              offset + static_cast<int64_t>(nul)));
    }
    lines.feed(block);
    offset += static_cast<int64_t>(size);
  }
  if (file.bad()) {
    throw Error(fmt::format("{}: cannot be read: {}", name, std::strerror(errno)));
  }
  if (offset == 0) {
    throw Error(fmt::format("{}: is empty, expected a text", name));
  }
  lines.finish();
}

void split_lines(std::string_view text, const std::function<void(const Line&)>& sink) {
  LineSplitter lines(sink);
  lines.feed(text);
  lines.finish();
}

std::string normalize_letters(std::string_view line) {
  std::string letters;
  letters.reserve(line.size());
  bool gap = false;
  for (const char c : line) {
    const char letter = kLetterOf[static_cast<unsigned char>(c)];
    if (letter == 0) {
      gap = true;
      continue;
    }
    if (gap && !letters.empty()) {
      letters.push_back(' ');
    }
    letters.push_back(letter);
    gap = false;
  }
  return letters;
}

std::vector<std::string> read_time_machine(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  read_lines(path, false, [&](const Line& line) { lines.push_back(normalize_letters(line.text)); });
  return lines;
}

void tokenize_line(std::string_view line, TokenKind kind,
                   const std::function<void(std::string_view)>& sink) {
  std::size_t at = 0;
  while (at < line.size()) {
    std::size_t size = 1;
    if (kind == TokenKind::kWord) {
      if (is_space(line[at])) {
        ++at;
        continue;
      }
      const auto* end = std::find_if(line.begin() + at, line.end(), is_space);
      size = static_cast<std::size_t>(end - (line.begin() + at));
    } else if (kind == TokenKind::kChar && static_cast<unsigned char>(line[at]) >= 0x80) {
      utf8proc_int32_t code_point = 0;
      const auto bytes =
          utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(line.data()) + at,
                           static_cast<utf8proc_ssize_t>(line.size() - at), &code_point);
      if (bytes <= 0) {
        throw Error(fmt::format("byte {} (0x{:02x}) is not valid UTF-8", at,
                                static_cast<unsigned char>(line[at])));
      }
      size = static_cast<std::size_t>(bytes);
    }
    sink(line.substr(at, size));
    at += size;
  }
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
