#include "cli/saver.h"

#include "base/formatted.h"
#include "cli/attempt.h"

namespace unroll::app {

void Saver::save_unless_it_fails(const std::function<void()>& work) {
  if (!attempt(progress_, "the training continues", work)) {
    since_saved_.start();
  }
}

bool Saver::is_due() const {
  constexpr double kSecondsPerMinute = 60;
  return interval_.minutes > 0 && since_saved_.stop() >= interval_.minutes * kSecondsPerMinute;
}

void Saver::save_while_training() {
  const auto checkpoint = checkpoint_();  // of all ranks: its failure is no disk's
  save_unless_it_fails([&] { write(checkpoint); });
}

void Saver::after_epoch(const EpochStats& stats) {
  if (interval_.epochs > 0 && stats.epoch % interval_.epochs == 0) {
    save_while_training();
  }
}

void Saver::save_best() {
  const auto checkpoint = checkpoint_();
  save_unless_it_fails([&] { files_.save_best(checkpoint); });
}

void Saver::keep_best_of(const std::string& from, const Checkpoint& resumed) {
  save_unless_it_fails([&] { files_.keep_best_of(from, resumed); });
}

void Saver::save() { write(checkpoint_()); }

void Saver::write(const Checkpoint& checkpoint) {
  files_.save(checkpoint);
  set_last(path(), checkpoint);
  since_saved_.start();
}

void Saver::save_last() {
  const auto at = checkpoint_().training->state.progress;
  if (!last_ || last_->path != path() || last_->epochs != at.epoch || last_->batch != at.batch) {
    save();
  }
}

void Saver::set_last(std::string path, const Checkpoint& checkpoint) {
  last_ = {std::move(path), checkpoint.epochs, checkpoint.training->state.progress.batch};
}

std::string Saver::last() const {
  return last_ ? formatted("the last checkpoint is {}, after {}", last_->path,
                           counted(last_->epochs, "epoch"))
               : formatted("{} has not been written", path());
}

}  // namespace unroll::app
