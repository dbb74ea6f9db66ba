#include "unroll/text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/formatted.h"
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

void LineCutter::feed(std::string_view piece, const Sink& sink) {
  while (!piece.empty()) {
    if (after_cr_ && piece.front() == '\n') {
      piece.remove_prefix(1);
    }
    after_cr_ = false;
    const auto end = piece.find_first_of("\r\n");
    line_.append(piece.substr(0, end));
    if (end == std::string_view::npos) {
      return;
    }
    after_cr_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    sink(line_);
    line_.clear();
  }
}

void LineCutter::finish(const Sink& sink) {
  if (!line_.empty()) {
    sink(line_);
    line_.clear();
  }
  after_cr_ = false;
}

void read_lines(const std::filesystem::path& path, NulBytes nul_bytes,
                const std::function<void(int64_t number, std::string_view line)>& sink) {
  int64_t number = 0;
  const auto count = [&](std::string_view line) { sink(++number, line); };
  LineCutter lines;
  read_blocks(path, nul_bytes, [&](std::string_view block) { lines.feed(block, count); });
  lines.finish(count);
}

void read_blocks(const std::filesystem::path& path, NulBytes nul_bytes,
                 const std::function<void(std::string_view)>& sink) {
  read_blocks(std::vector{path}, nul_bytes,
              [&](std::size_t, std::string_view block) { sink(block); });
}

}  // namespace unroll
