#include "unroll/text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/formatted.h"
#include "base/parse_enum.h"
#include "text/normalizer.h"
#include "text/token_cutter.h"
#include "unroll/error.h"

namespace unroll {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 18;  // half of what a core's cache holds

// A file, or the standard input, that is read from its start to its end.
class Input {
 public:
  explicit Input(const std::filesystem::path& path) : name_(text_name(path)) {
    if (path == kStandardInput) {
      return;
    }
    descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) {
      throw Error(formatted("{}: cannot be opened: {}", name_, std::strerror(errno)));
    }
    struct stat status {};
    if (fstat(descriptor_, &status) == 0 && S_ISDIR(status.st_mode)) {
      close(descriptor_);
      throw Error(formatted("{}: is a directory, expected a text file", name_));
    }
  }
  ~Input() {
    if (descriptor_ != STDIN_FILENO) {
      close(descriptor_);
    }
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  const std::string& name() const { return name_; }

  // Fills the buffer; less only at the end.
  std::size_t read(std::string& buffer) const {
    std::size_t size = 0;
    while (size < buffer.size()) {
      const auto got = ::read(descriptor_, buffer.data() + size, buffer.size() - size);
      if (got == 0) {
        break;
      }
      if (got < 0 && errno != EINTR) {
        throw Error(formatted("{}: cannot be read: {}", name_, std::strerror(errno)));
      }
      size += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    }
    return size;
  }

 private:
  std::string name_;
  int descriptor_ = STDIN_FILENO;
};

// The encoding whose byte-order mark the text begins with, unless it is UTF-8.
const char* foreign_encoding(std::string_view start) {
  using namespace std::string_view_literals;
  if (start.starts_with("\xFF\xFE\0\0"sv) || start.starts_with("\0\0\xFE\xFF"sv)) {
    return "UTF-32";
  }
  if (start.starts_with("\xFF\xFE"sv) || start.starts_with("\xFE\xFF"sv)) {
    return "UTF-16";
  }
  return nullptr;
}

void check_text(const std::string& name, std::string_view block, int64_t offset) {
  if (const char* encoding = offset == 0 ? foreign_encoding(block) : nullptr) {
    throw Error(
        formatted("{}: begins with the byte-order mark of {}, expected UTF-8", name, encoding));
  }
  if (const auto nul = block.find('\0'); nul != std::string_view::npos) {
    throw Error(formatted("{}: has a NUL byte at offset {}, expected a text file", name,
                          offset + static_cast<int64_t>(nul)));
  }
}

// Together; 0 where one is no regular file.
int64_t size_of(const std::vector<std::filesystem::path>& paths) {
  int64_t total = 0;
  for (const auto& path : paths) {
    std::error_code unknown;
    const auto bytes = std::filesystem::file_size(path, unknown);
    if (unknown || !can_be_read_again(path)) {
      return 0;
    }
    total += static_cast<int64_t>(bytes);
  }
  return total;
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

std::string_view to_string(InvalidUtf8 invalid_utf8) {
  return invalid_utf8 == InvalidUtf8::kRefuse ? "stop" : "replace";
}

Normalize parse_normalize(std::string_view name) {
  return parse_enum("normalize", name, std::array{Normalize::kLetters, Normalize::kNone});
}

TokenKind parse_token_kind(std::string_view name) {
  return parse_enum("tokens", name,
                    std::array{TokenKind::kChar, TokenKind::kWord, TokenKind::kByte});
}

InvalidUtf8 parse_invalid_utf8(std::string_view name) {
  return parse_enum("invalid-utf8", name, std::array{InvalidUtf8::kRefuse, InvalidUtf8::kReplace});
}

std::string text_name(const std::filesystem::path& path) {
  return path == kStandardInput ? "standard input" : path.string();
}

std::string text_name(const std::vector<std::filesystem::path>& paths) {
  std::string names;
  for (const auto& path : paths) {
    names += (names.empty() ? "" : ", ") + text_name(path);
  }
  return names;
}

bool can_be_read_again(const std::filesystem::path& path) {
  std::error_code unknown;
  return path != kStandardInput && std::filesystem::is_regular_file(path, unknown);
}

void read_blocks(const std::vector<std::filesystem::path>& paths, NulBytes nul_bytes,
                 const std::function<void(std::size_t file, std::string_view)>& sink,
                 const ReadCallback& on_read,
                 const std::function<void(std::size_t file)>& end_file) {
  std::string buffer(kBlockBytes, '\0');
  ReadProgress progress{.name = {}, .bytes = 0, .total_bytes = size_of(paths)};
  for (std::size_t file = 0; file < paths.size(); ++file) {
    const Input input(paths[file]);
    progress.name = input.name();
    int64_t offset = 0;
    while (const auto size = input.read(buffer)) {
      const std::string_view block(buffer.data(), size);
      if (nul_bytes == NulBytes::kRefuse) {
        check_text(input.name(), block, offset);
      }
      sink(file, block);
      offset += static_cast<int64_t>(size);
      progress.bytes += static_cast<int64_t>(size);
      if (on_read) {
        on_read(progress);
      }
    }
    if (offset == 0) {
      throw Error(formatted("{}: is empty, expected a text", input.name()));
    }
    if (end_file) {
      end_file(file);
    }
  }
}

void read_blocks(const std::filesystem::path& path, NulBytes nul_bytes,
                 const std::function<void(std::string_view)>& sink) {
  read_blocks(std::vector{path}, nul_bytes,
              [&](std::size_t, std::string_view block) { sink(block); });
}

struct Tokenizer::State {
  State(const TextOptions& options, std::function<void(std::string_view)> sink)
      : normalizer(options), cutter(options.tokens), sink(std::move(sink)) {}

  Normalizer normalizer;
  TokenCutter cutter;
  std::function<void(std::string_view)> sink;
};

Tokenizer::Tokenizer(const TextOptions& options, std::function<void(std::string_view)> sink)
    : state_(std::make_unique<State>(options, std::move(sink))) {}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

void Tokenizer::feed(std::string_view block) {
  state_->cutter.feed(state_->normalizer.feed(block), state_->sink);
}

void Tokenizer::end_file() { state_->cutter.feed(state_->normalizer.end_file(), state_->sink); }

void Tokenizer::finish() {
  end_file();
  state_->cutter.feed(state_->normalizer.finish(), state_->sink);
  state_->cutter.finish(state_->sink);
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
    try {
      lines.push_back(normalize_letters(line));
    } catch (const InvalidUtf8Error& error) {
      throw InvalidUtf8Error(
          formatted("{}: line {}: {}", text_name(path), lines.size() + 1, error.what()));
    }
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

std::string_view gap_between(std::string_view before, std::string_view token, TokenKind kind) {
  const bool words_of_a_line =
      kind == TokenKind::kWord && !before.empty() && !before.ends_with('\n') && token != "\n";
  return words_of_a_line ? " " : "";
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
