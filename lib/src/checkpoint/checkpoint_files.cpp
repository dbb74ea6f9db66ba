#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/fields.h"
#include "base/file_lock.h"
#include "base/formatted.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

namespace fs = std::filesystem;

bool are_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return '0' <= c && c <= '9'; });
}

// `model.safetensors.123.tmp`, as a writer of that file names its unfinished work.
bool is_unfinished(const std::string& name, const std::string& target) {
  constexpr std::string_view kEnd = ".tmp";
  const auto begin = target + ".";
  if (!name.starts_with(begin) || !name.ends_with(kEnd) ||
      name.size() < begin.size() + kEnd.size()) {
    return false;
  }
  std::string_view number(name);
  number.remove_prefix(begin.size());
  number.remove_suffix(kEnd.size());
  return are_digits(number);
}

void remove_unfinished(const fs::path& path) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::absolute(path).parent_path(), error)) {
    if (is_unfinished(entry.path().filename().string(), path.filename().string())) {
      fs::remove(entry.path(), error);
    }
  }
}

// `model.safetensors` -> `model.TAG.safetensors`
fs::path with_tag(const fs::path& path, const std::string& tag) {
  auto name = path.stem().string() + "." + tag + path.extension().string();
  return path.parent_path() / name;
}

// `.1`
bool is_number(const fs::path& extension) {
  const auto text = extension.string();
  return !text.empty() && are_digits(std::string_view(text).substr(1));
}

// `model.1.safetensors` -> `model.safetensors`; any other path as it is.
fs::path without_number(const fs::path& path) {
  if (is_number(path.extension())) {
    return path.parent_path() / path.stem();
  }
  if (is_number(path.stem().extension())) {
    return path.parent_path() / (path.stem().stem().string() + path.extension().string());
  }
  return path;
}

// The best of the training whose checkpoint this is, or one of those kept.
fs::path best_beside(const fs::path& path) {
  std::error_code error;
  const auto best = with_tag(path, "best");
  return fs::exists(best, error) ? best : with_tag(without_number(path), "best");
}

std::optional<Checkpoint> load_if_any(const fs::path& path) {
  try {
    return load_checkpoint(path);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Whether one is the other at another time: all epochs that both know of went alike.
bool is_same_training(const Checkpoint& one, const Checkpoint& other) {
  if (!one.training || !other.training ||
      one.training->fingerprint != other.training->fingerprint) {
    return false;
  }
  const auto& a = one.training->state.history;
  const auto& b = other.training->state.history;
  const auto both = static_cast<std::ptrdiff_t>(std::min(a.size(), b.size()));
  return both > 0 &&
         std::equal(a.begin(), a.begin() + both, b.begin(),
                    [](const auto& x, const auto& y) { return x.perplexity == y.perplexity; });
}

}  // namespace

CheckpointFiles::CheckpointFiles(fs::path path, int64_t keep)
    : path_(link_target(std::move(path))), keep_(keep) {
  require_in("keep", keep, from_to(1, kMostKept));
  for (const auto& name : names(path_, keep)) {
    locks_.push_back(std::make_unique<FileLock>(name));
  }
  for (const auto& path : {path_, next_path(), best_path()}) {
    remove_unfinished(path);
  }
  check_writable(path_);
}

CheckpointFiles::~CheckpointFiles() = default;
CheckpointFiles::CheckpointFiles(CheckpointFiles&&) noexcept = default;

std::vector<fs::path> CheckpointFiles::names(const fs::path& path, int64_t keep) {
  std::vector<fs::path> all{path, with_tag(path, "best")};
  for (int64_t number = 1; number < keep; ++number) {
    all.push_back(with_tag(path, formatted("{}", number)));
  }
  return all;
}

fs::path CheckpointFiles::best_path() const { return with_tag(path_, "best"); }

// The name of what is being saved until it takes its place: that of unfinished work.
fs::path CheckpointFiles::next_path() const { return path_.string() + ".0.tmp"; }

fs::path CheckpointFiles::numbered(int64_t number) const {
  return number == 0 ? path_ : with_tag(path_, formatted("{}", number));
}

// Each one's number grows by one; the newest stays under its name too, until it is replaced.
void CheckpointFiles::rotate() const {
  std::error_code missing;
  for (int64_t number = keep_ - 1; number > 1; --number) {
    fs::rename(numbered(number - 1), numbered(number), missing);
  }
  fs::remove(numbered(1), missing);
  std::error_code error;
  fs::create_hard_link(path_, numbered(1), error);
  if (error) {  // not every file system has links
    fs::copy_file(path_, numbered(1), fs::copy_options::overwrite_existing, missing);
  }
}

void CheckpointFiles::save(const Checkpoint& checkpoint) {
  std::error_code error;
  if (keep_ == 1 || !fs::exists(path_, error)) {
    save_checkpoint(path_, checkpoint);
    return;
  }
  const auto next = next_path();  // nothing moves until it is whole
  save_checkpoint(next, checkpoint);
  rotate();
  fs::rename(next, path_, error);
  if (error) {
    throw Error(formatted("{}: cannot be replaced: {}", path_.string(), error.message()));
  }
}

void CheckpointFiles::keep_best_of(const fs::path& from, const Checkpoint& resumed) const {
  const auto& at = resumed.training.value().state;
  if (at.best.epoch == 0) {
    return;
  }
  // A better one is of epochs that were trained, but not saved.
  const auto serves = [&](const Checkpoint& best) {
    return is_same_training(best, resumed) && best.training->state.best.epoch == best.epochs &&
           best.training->state.best.perplexity <= at.best.perplexity;
  };
  if (const auto here = load_if_any(best_path()); here && serves(*here)) {
    return;
  }
  if (at.progress.epoch == at.best.epoch && at.progress.batch == 0) {
    save_best(resumed);
    return;
  }
  const auto source = best_beside(link_target(from));
  const auto best = load_checkpoint(source);
  if (!serves(best)) {
    throw Error(formatted("{}: is not the best of the training resumed, which is of epoch {}",
                          source.string(), at.best.epoch));
  }
  save_best(best);
}

void CheckpointFiles::save_best(const Checkpoint& checkpoint) const {
  save_checkpoint(best_path(), checkpoint);
}

}  // namespace unroll
