#include "saver.h"

#include <fmt/format.h>

#include "unroll/error.h"

namespace unroll::app {

template <typename Save>
void Saver::attempt(const Save& save) {
  try {
    save();
  } catch (const Error& error) {
    progress_.clear();
    fmt::print(stderr, "unroll: {}; the training goes on\n", error.what());
    since_saved_.start();
  }
}

void Saver::after_batch() {
  constexpr double kSecondsPerMinute = 60;
  if (interval_.minutes > 0 && since_saved_.stop() >= interval_.minutes * kSecondsPerMinute) {
    attempt([&] { save(); });
  }
}

void Saver::after_epoch(const EpochStats& stats) {
  if (interval_.epochs > 0 && stats.epoch % interval_.epochs == 0) {
    attempt([&] { save(); });
  }
}

void Saver::save_best() {
  attempt([&] { files_.save_best(checkpoint_()); });
}

void Saver::save() {
  const auto checkpoint = checkpoint_();
  files_.save(checkpoint);
  last_ = {path(), checkpoint.epochs};
  since_saved_.start();
}

std::string Saver::last() const {
  return last_
             ? fmt::format("the last checkpoint is {}, after {} epochs", last_->path, last_->epochs)
             : fmt::format("{} has not been written", path());
}

}  // namespace unroll::app
