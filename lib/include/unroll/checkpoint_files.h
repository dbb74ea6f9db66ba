#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "unroll/checkpoint.h"

namespace unroll {

class FileLock;

/// How often a training is saved while it goes on; both 0: only at its end.
struct SaveInterval {
  int64_t epochs = 0;  ///< between two checkpoints
  double minutes = 0;  ///< the same, by the clock
};

/// `10`, `10 epochs`, `5 minutes`, `5m`; throws UsageError otherwise.
SaveInterval parse_save_interval(std::string_view text);

/// Throws UsageError unless so many checkpoints can be kept.
void check_keep(int64_t keep);

/// The checkpoint files of one training: `model.safetensors` is the newest, `model.1.safetensors`
/// the one before it and so on, `model.best.safetensors` the best.
///
/// Each is whole at any moment: a crash, a full disk or a kill leaves what was there. While the
/// object lives, another training cannot write to one of them.
class CheckpointFiles {
 public:
  /// Keeps the newest `keep` >= 1. Removes what a killed training left unfinished at that path.
  /// Throws Error, naming the path, when it cannot be written or another training does.
  explicit CheckpointFiles(std::filesystem::path path, int64_t keep = 1);
  ~CheckpointFiles();
  CheckpointFiles(CheckpointFiles&&) noexcept;

  /// The names of all that it may write: the newest, the best, the ones before.
  static std::vector<std::filesystem::path> names(const std::filesystem::path& path, int64_t keep);

  /// Makes it the newest. Throws as save_checkpoint does; then the newest is the one before.
  void save(const Checkpoint& checkpoint);

  /// Makes it the best.
  void save_best(const Checkpoint& checkpoint) const;

  /// For a training that stood at `from` with the checkpoint `resumed` and goes on here: its best
  /// becomes the best here, be it `resumed` itself or in the file beside it, unless it is here, or
  /// a better one that it came to before it was killed. Nothing where there is none yet.
  /// Throws Error when that file cannot be loaded, is not that, or ours cannot be written.
  void keep_best_of(const std::filesystem::path& from, const Checkpoint& resumed) const;

  const std::filesystem::path& path() const { return path_; }

  /// `model.best.safetensors`
  std::filesystem::path best_path() const;

 private:
  std::filesystem::path next_path() const;
  std::filesystem::path numbered(int64_t number) const;
  void rotate() const;

  std::filesystem::path path_;
  int64_t keep_;
  std::vector<std::unique_ptr<FileLock>> locks_;  // of each name
};

}  // namespace unroll
