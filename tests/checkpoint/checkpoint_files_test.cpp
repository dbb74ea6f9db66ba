#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/formatted.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Checkpoint after(int64_t epochs) {
  const auto corpus = make_corpus("some text");
  const ModelConfig config{.hidden = 2};
  const auto net = make_model(config, corpus.vocab.size(), torch::kCPU);
  Checkpoint checkpoint{.config = config, .vocab = corpus.vocab, .text = corpus.text};
  checkpoint.weights = net->weights();
  checkpoint.epochs = epochs;
  return checkpoint;
}

std::vector<std::string> names_in(const TempFolder& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(CheckpointFiles, KeepsTheNewestAndTheBest) {
  const TempFolder folder;
  {
    CheckpointFiles files(folder / "model.safetensors", 3);
    for (int64_t epochs = 1; epochs <= 5; ++epochs) {
      files.save(after(epochs));
    }
    files.save_best(after(2));
    EXPECT_EQ(files.best_path(), folder / "model.best.safetensors");
  }
  EXPECT_THAT(names_in(folder), ElementsAre("model.1.safetensors", "model.2.safetensors",
                                            "model.best.safetensors", "model.safetensors"));
  EXPECT_EQ(load_checkpoint(folder / "model.safetensors").epochs, 5);
  EXPECT_EQ(load_checkpoint(folder / "model.1.safetensors").epochs, 4);
  EXPECT_EQ(load_checkpoint(folder / "model.2.safetensors").epochs, 3);
  EXPECT_EQ(load_checkpoint(folder / "model.best.safetensors").epochs, 2);
}

// Of a training whose perplexities were these, after its last epoch or some batches later.
Checkpoint in_training(const std::vector<double>& perplexities, int64_t batch = 0) {
  auto checkpoint = after(static_cast<int64_t>(perplexities.size()));
  auto& state = checkpoint.training.emplace().state;
  state.progress.epoch = checkpoint.epochs;
  state.progress.batch = batch;
  for (const double perplexity : perplexities) {
    state.history.push_back(
        {.epoch = static_cast<int64_t>(state.history.size()) + 1, .perplexity = perplexity});
    state.best.update(state.history.back().epoch, perplexity, {});
  }
  return checkpoint;
}

class BestOfAResumedTraining : public ::testing::Test {
 protected:
  void save_best(const std::string& name, const Checkpoint& checkpoint) const {
    CheckpointFiles(folder / name).save_best(checkpoint);
  }
  void resume(const std::string& from, const Checkpoint& checkpoint, const std::string& to) const {
    CheckpointFiles(folder / to).keep_best_of(folder / from, checkpoint);
  }
  bool has_best(const std::string& name) const {
    return std::filesystem::exists(folder / (name + ".best"));
  }
  int64_t best_epoch(const std::string& name) const {
    return load_checkpoint(folder / (name + ".best")).epochs;
  }

  TempFolder folder;
};

TEST_F(BestOfAResumedTraining, IsKeptWhereItIs) {
  save_best("model", in_training({9, 5}));
  resume("model", in_training({9, 5, 7}), "model");
  EXPECT_EQ(best_epoch("model"), 2);
  resume("./model", in_training({9}), "model");  // killed once it had got further
  EXPECT_EQ(best_epoch("model"), 2);
  resume("model.1", in_training({9}), "model");
  EXPECT_EQ(best_epoch("model"), 2);
}

TEST_F(BestOfAResumedTraining, GoesAlong) {
  save_best("model", in_training({9, 5}));
  save_best("other", in_training({8, 4}));  // another training's
  for (const std::string from : {"model", "./model", "model.1", "model.12"}) {
    resume(from, in_training({9, 5, 7}), "other");
    EXPECT_EQ(best_epoch("other"), 2) << from;
    EXPECT_EQ(load_checkpoint(folder / "other.best").training->state.best.perplexity, 5);
    std::filesystem::remove(folder / "other.best");
  }
  resume("model", in_training({9, 5}, 3), "other");  // its weights have gone on since
  EXPECT_EQ(best_epoch("other"), 2);
  EXPECT_EQ(load_checkpoint(folder / "other.best").training->state.progress.batch, 0);
}

TEST_F(BestOfAResumedTraining, GoesAlongFromEachOfThoseKept) {
  save_best("model.st", in_training({9, 5}));  // model.best.st
  for (const std::string from : {"model.st", "model.1.st"}) {
    resume(from, in_training({9, 5, 7}), "other");
    EXPECT_EQ(best_epoch("other"), 2) << from;
    std::filesystem::remove(folder / "other.best");
  }
}

TEST_F(BestOfAResumedTraining, IsTheTrainingItself) {
  save_best("model.best", in_training({8, 4}));  // another training's
  resume("model.best", in_training({9, 5}), "model.best");
  EXPECT_EQ(load_checkpoint(folder / "model.best.best").training->state.best.perplexity, 5);
  resume("gone", in_training({9, 5}), "other");
  EXPECT_EQ(best_epoch("other"), 2);
}

TEST_F(BestOfAResumedTraining, IsMissed) {
  resume("model", in_training({}), "other");  // none yet
  EXPECT_FALSE(has_best("other"));
  EXPECT_THAT(thrown<Error>([&] {
                resume("model", in_training({9, 5, 7}), "other");
              }),
              HasSubstr("model.best: cannot be opened"));
  for (const auto& foreign : {in_training({9, 4}), in_training({9}), in_training({9, 5, 7, 6})}) {
    save_best("model", foreign);
    EXPECT_THAT(
        thrown<Error>([&] {
          resume("model", in_training({9, 5, 7}), "other");
        }),
        HasSubstr("model.best: is not the best of the training resumed, which is of epoch 2"));
  }
  EXPECT_FALSE(has_best("other"));
}

TEST(CheckpointFiles, WhatCannotBeWrittenMovesNothing) {
  const TempFolder folder;
  CheckpointFiles files(folder / "model", 3);
  for (int64_t epochs = 1; epochs <= 3; ++epochs) {
    files.save(after(epochs));
  }
  auto damaged = after(4);
  damaged.weights.front().tensor = torch::zeros({2}, torch::kComplexFloat);
  for (int attempt = 0; attempt < 3; ++attempt) {
    thrown<Error>([&] { files.save(damaged); });
  }
  EXPECT_EQ(load_checkpoint(folder / "model").epochs, 3);
  EXPECT_EQ(load_checkpoint(folder / "model.1").epochs, 2);
  EXPECT_EQ(load_checkpoint(folder / "model.2").epochs, 1);
  EXPECT_THAT(names_in(folder),
              ElementsAre(".model.1.unroll-lock", ".model.2.unroll-lock", ".model.best.unroll-lock",
                          ".model.unroll-lock", "model", "model.1", "model.2"));
  EXPECT_THAT(
      CheckpointFiles::names(folder / "model", 3),
      ElementsAre(folder / "model", folder / "model.best", folder / "model.1", folder / "model.2"));
}

TEST(CheckpointFiles, WithoutMoreToKeepThereIsOneFile) {
  const TempFolder folder;
  {
    CheckpointFiles files(folder / "model");
    files.save(after(1));
    files.save(after(2));
  }
  EXPECT_THAT(names_in(folder), ElementsAre("model"));
}

TEST(CheckpointFiles, ASecondTrainingIsRefused) {
  const TempFolder folder;
  std::filesystem::create_symlink(folder / "model", folder / "link");
  {
    const CheckpointFiles first(folder / "model");
    for (const char* name : {"model", "link"}) {
      EXPECT_THAT(
          thrown<Error>([&] { CheckpointFiles(folder / name); }),
          AllOf(HasSubstr("another training"), HasSubstr(formatted("process {}", getpid()))));
    }
    CheckpointFiles(folder / "other");
  }
  CheckpointFiles(folder / "model");
}

TEST(CheckpointFiles, ASecondTrainingIsRefusedAtEachOfThem) {
  const TempFolder folder;
  {
    const CheckpointFiles first(folder / "model", 3);
    for (const char* name : {"model.best", "model.1", "model.2"}) {
      EXPECT_THAT(thrown<Error>([&] { CheckpointFiles(folder / name); }),
                  HasSubstr(std::string(name) + ": another training writes there"));
    }
    CheckpointFiles(folder / "model.3");
  }
  const CheckpointFiles first(folder / "model.1");
  CheckpointFiles(folder / "model", 1);
  EXPECT_THAT(thrown<Error>([&] { CheckpointFiles(folder / "model", 2); }),
              HasSubstr("model.1: another training writes there"));
}

TEST(CheckpointFiles, AKilledTrainingsLockIsFree) {
  const TempFolder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const auto child = fork();
  if (child == 0) {
    const CheckpointFiles files(folder / "model");
    static_cast<void>(write(ready[1], "x", 1));
    pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  thrown<Error>([&] { CheckpointFiles(folder / "model"); });
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(std::filesystem::exists(folder / ".model.unroll-lock"));
  CheckpointFiles(folder / "model");
  EXPECT_EQ(folder.size(), 0);
}

TEST(CheckpointFiles, WhatAKilledTrainingLeftUnfinishedIsRemoved) {
  const TempFolder folder;
  for (const char* name :
       {"model.1234.tmp", "model.0.tmp", "model.0.tmp.1234.tmp", "model.best.1234.tmp"}) {
    folder.write(name, "half");
  }
  for (const char* name : {"model.tmp", "model.12a.tmp", "other.1234.tmp", "model.1234.tmp.txt"}) {
    folder.write(name, "not ours");
  }
  CheckpointFiles(folder / "model");
  EXPECT_THAT(names_in(folder),
              ElementsAre("model.1234.tmp.txt", "model.12a.tmp", "model.tmp", "other.1234.tmp"));
}

TEST(CheckpointFiles, WhereNothingCanBeWrittenIsKnownAtOnce) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "folder");
  for (const char* name : {"missing/model", "folder"}) {
    EXPECT_THAT(thrown<Error>([&] { CheckpointFiles(folder / name); }), HasSubstr(name));
  }
  EXPECT_EQ(folder.size(), 1);
  EXPECT_THAT(thrown<UsageError>([&] { CheckpointFiles(folder / "model", 0); }),
              HasSubstr("got 0"));
}

}  // namespace
}  // namespace unroll
