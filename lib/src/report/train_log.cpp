#include "report/train_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/formatted.h"
#include "base/write_all.h"
#include "report/train_report.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// Whether a line is one of a training's log.
bool is_log_line(const nlohmann::json& line) {
  return line.is_object() && line.contains("epoch") && line["epoch"].is_number_integer() &&
         line.contains("perplexity") && line["perplexity"].is_number();
}

// Whether it is the line of this epoch, and not of another training's.
bool is_line_of(const nlohmann::json& line, const EpochStats& stats) {
  return line["epoch"] == stats.epoch && line["perplexity"] == stats.perplexity;
}

// Whether a line that does not end is one that a killed training began.
bool is_begun(std::string_view line) {
  constexpr std::string_view kBegin = R"({"epoch":)";
  return line.starts_with(kBegin.substr(0, line.size()));
}

// Bytes of the lines of the first epochs in order, and how many these are.
struct Kept {
  std::size_t bytes = 0;
  std::size_t epochs = 0;
};

Kept kept_lines(const std::string& path, std::string_view content,
                const std::vector<EpochStats>& history) {
  Kept kept;
  while (kept.bytes < content.size() && kept.epochs < history.size()) {
    const auto rest = content.substr(kept.bytes);
    const auto end = rest.find('\n');
    const auto line = rest.substr(0, end);
    const bool whole = end != std::string_view::npos;
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (whole ? !is_log_line(json) : !is_begun(line)) {
      throw Error(formatted("{}: line {} is not a line of a training log, so nothing is written",
                            path, kept.epochs + 1));
    }
    if (!whole || !is_line_of(json, history[kept.epochs])) {
      break;
    }
    kept.bytes += end + 1;
    ++kept.epochs;
  }
  return kept;
}

}  // namespace

TrainLog::TrainLog(const std::filesystem::path& path, const std::vector<EpochStats>& history)
    : path_(path.string()) {
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    fail("cannot be written");
  }
  try {
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw Error(formatted("{}: another training writes there", path_));
    }
    const auto kept = history.empty() ? Kept{} : kept_lines(path_, content(), history);
    // A device such as /dev/stderr has no length.
    if (ftruncate(descriptor_, static_cast<off_t>(kept.bytes)) != 0 && errno != EINVAL) {
      fail("cannot be cut");
    }
    for (auto e = kept.epochs; e < history.size(); ++e) {
      write(history[e]);
    }
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

TrainLog::~TrainLog() { close(descriptor_); }

void TrainLog::write(const EpochStats& stats) { append(log_line(stats) + "\n"); }

void TrainLog::sync() {
  if (fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS) {
    fail("cannot be synced");
  }
}

std::string TrainLog::content() const {
  std::string text;
  std::array<char, 1 << 16> block{};
  while (true) {
    const auto size =
        pread(descriptor_, block.data(), block.size(), static_cast<off_t>(text.size()));
    if (size < 0 && errno != ESPIPE) {
      fail("cannot be read");
    }
    if (size <= 0) {
      return text;
    }
    text.append(block.data(), static_cast<std::size_t>(size));
  }
}

void TrainLog::append(const std::string& text) {
  if (!write_all(descriptor_, text)) {
    fail("cannot be written");
  }
}

void TrainLog::fail(const char* what) const {
  throw Error(formatted("{}: {}: {}", path_, what, std::strerror(errno)));
}

}  // namespace unroll
