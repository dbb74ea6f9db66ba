#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cli/score_printer.h"
#include "report/score.h"
#include "unroll/corpus.h"
#include "unroll/evaluate.h"
#include "unroll/model.h"

namespace unroll::app {

/// Scores lines, some at a time, so that they are printed as they come.
class LineScorer {
 public:
  /// `as_trained` says how lines are read, and by which vocabulary. All must outlive the scorer.
  LineScorer(SequenceModel& net, const CorpusOptions& as_trained, const EvaluateOptions& rows,
             ScorePrinter& printer)
      : net_(net), as_trained_(as_trained), rows_(rows), printer_(printer) {}

  /// Prints the score of each line of a text. A line that cannot be read gets a message on stderr.
  /// Throws Error when the text cannot be read; what came before it is printed.
  void score_lines_of(const std::filesystem::path& path);

  /// Throws Error when a line could not be read.
  void check() const;

 private:
  void add(const std::string& name, int64_t number, std::string_view line);
  void score();

  SequenceModel& net_;
  const CorpusOptions& as_trained_;
  const EvaluateOptions& rows_;
  ScorePrinter& printer_;
  std::vector<torch::Tensor> corpora_;  // the lines' that wait
  std::vector<Score> scores_;           // of these
  int64_t tokens_ = 0;                  // in these
  int64_t lines_ = 0;
  int64_t failed_ = 0;
};

}  // namespace unroll::app
