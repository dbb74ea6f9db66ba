#pragma once

#include <torch/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "unroll/seq_data.h"
#include "unroll/vocab.h"

#pragma GCC visibility push(default)
namespace unroll {

/// Stopwatch over std::chrono::steady_clock, like the notebook's `Timer`. Runs from construction.
class Timer {
 public:
  /// Starts again from zero.
  void start() { start_ = Clock::now(); }

  /// Seconds since construction or the last start(). The stopwatch keeps running.
  double stop() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

/// n running sums, like the notebook's `Accumulator`.
///
///     Accumulator metric(2);                 // summed loss, tokens
///     metric.add({loss * tokens, tokens});
///     double perplexity = std::exp(metric[0] / metric[1]);
class Accumulator {
 public:
  /// n sums, each zero.
  explicit Accumulator(std::size_t n) : sums_(n, 0.0) {}

  /// Adds one value to each sum. Throws Error unless `values` has size() elements.
  void add(std::initializer_list<double> values);

  /// Sets every sum to zero.
  void reset();

  /// Sum i, i < size().
  double operator[](std::size_t i) const { return sums_.at(i); }
  /// How many sums.
  std::size_t size() const { return sums_.size(); }

 private:
  std::vector<double> sums_;
};

/// How a plot looks.
struct PlotOptions {
  std::string xlabel = "epoch";                 ///< of the x axis
  std::string ylabel = "perplexity";            ///< of the y axis
  std::vector<std::string> legend = {"train"};  ///< one curve each
  double xmin = 0;                              ///< left end of the x axis
  double xmax = 0;                              ///< right end; 0 follows the points
  double redraw_seconds = 2;                    ///< time between two drawings
};

/// A plot that grows while training runs, like the notebook's `Animator`. gnuplot draws it.
class Animator {
 public:
  /// Draws into `path`, SVG or PNG by its ending; an empty path draws only text().
  /// Throws UsageError for another ending, Error when gnuplot cannot be run.
  Animator(std::filesystem::path path, PlotOptions options);

  /// Adds a point to curve `curve` and redraws the file unless it was drawn just before.
  void add(double x, double y, std::size_t curve = 0);

  /// Draws the file with all points. It is replaced as a whole, so a viewer never sees half a plot.
  void draw();

  /// The plot as lines of characters.
  std::string text(int columns = 72, int rows = 20) const;

 private:
  std::string script(const std::string& terminal, const std::filesystem::path& output) const;

  std::filesystem::path path_;
  PlotOptions options_;
  std::vector<std::vector<std::pair<double, double>>> curves_;
  Timer since_drawn_;
  bool drawn_ = false;
};

/// The notebook's `load_data_time_machine`: a file by character -> (iterator, vocabulary).
/// Batches come out on `device`. Throws as read_corpus and SeqDataLoader do.
std::pair<SeqDataLoader, Vocab> load_data_time_machine(const std::filesystem::path& path,
                                                       int64_t batch_size, int64_t num_steps,
                                                       bool use_random_iter = false,
                                                       int64_t max_tokens = 10000,
                                                       torch::Device device = torch::kCPU);

}  // namespace unroll
#pragma GCC visibility pop
