#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/slab.h"

namespace unroll::cuda {

/// What the block keeps of W_hq and computes for kOutputRows rows at a time. A warp has a row where
/// a row's logits are looked at, else threads share tokens or units.
class OutputBlock {
  static constexpr int S = kOutputRows;

 public:
  UNROLL_DEVICE explicit OutputBlock(const OutputArguments& a)
      : a_(a),
        hidden_(static_cast<int>(a.hidden)),
        vocab_size_(static_cast<int>(a.vocab_size)),
        at_(output_layout(hidden_, vocab_size_)),
        weights_(shared_memory()),
        values_(shared_memory() + at_.values),
        partials_(shared_memory() + at_.partials),
        logits_(shared_memory() + at_.logits),
        room_(shared_memory() + at_.room) {}

  /// Looks how many labels count: their losses' mean is wanted.
  UNROLL_DEVICE void count_labels() {
    float mine = 0;
    for (int64_t row = thread_index(); row < a_.rows; row += kThreads) {
      mine += counts(a_.labels[row]) ? 1.0F : 0.0F;
    }
    count_ = block_sum(mine, room_);
  }

  /// Neighbours among the lanes read neighbours in memory.
  UNROLL_DEVICE void load_weights() {
    const bool by_token = a_.W_column == 1;
    const int across = by_token ? vocab_size_ : hidden_;
    const int along = by_token ? hidden_ : vocab_size_;
    const int64_t stride = by_token ? a_.W_row : a_.W_column;
    for (int n = lane_index(); n < across; n += kLanes) {
      const float* from = a_.W_hq + n * (by_token ? a_.W_column : a_.W_row);
      load_and_store(
          warp_index(), along, kWarps, [&](int k) { return from[k * stride]; },
          [&](int k, float weight) {
            weights_[(by_token ? k : n) * at_.weights_row + (by_token ? n : k)] = weight;
          });
    }
  }

  /// Rows `first` to first + S of the states; zeros where there are none.
  UNROLL_DEVICE void load_rows(int64_t first) {
    for (int i = thread_index(); i < hidden_ * (S / 4); i += kThreads) {
      const int k = i % hidden_;
      const int s = i / hidden_ * 4;
      const auto value = [&](int j) {
        return first + s + j < a_.rows ? a_.h[(first + s + j) * a_.hidden + k] : 0.0F;
      };
      *reinterpret_cast<float4*>(values_ + k * S + s) = {value(0), value(1), value(2), value(3)};
    }
    sync_block();
  }

  UNROLL_DEVICE void compute_logits() {
    for (int first = 0; first < vocab_size_; first += kLanes) {
      const int left = vocab_size_ - first;
      const int columns = left < kLanes ? left : kLanes;
      multiply_memory<1, S>(weights_ + first, at_.weights_row, hidden_, columns, values_,
                            partials_);
      sync_block();
      for (int i = thread_index(); i < columns * S; i += kThreads) {
        const int v = first + i / S;
        logits_[v * S + i % S] =
            a_.b_q[v] + sum_of<S>(partials_, shared_slices(columns), columns, i % S, i / S);
      }
      sync_block();
    }
  }

  /// The losses of these rows; with `backward`, their gradients take the logits' place.
  UNROLL_DEVICE void compute_losses(int64_t first, bool backward) {
    const int s = thread_index() / kLanes;
    const int lane = thread_index() % kLanes;
    const bool has_row = s < S && first + s < a_.rows;
    float highest = -INFINITY;
    for (int v = lane; has_row && v < vocab_size_; v += kLanes) {
      highest = larger_of(highest, logits_[v * S + s]);
    }
    highest = of_warp(highest, [](float x, float y) { return larger_of(x, y); });
    float sum = 0;
    for (int v = lane; has_row && v < vocab_size_; v += kLanes) {
      sum += expf(logits_[v * S + s] - highest);
    }
    sum = warp_sum(sum);
    const int64_t label = has_row ? a_.labels[first + s] : -1;
    if (counts(label) && lane == 0) {
      loss_ += static_cast<double>(logf(sum) - (logits_[label * S + s] - highest));
    } else if (has_row && !counts(label) && label != kIgnoredLabel) {
      loss_ = static_cast<double>(NAN);  // a label of no token must show
    }
    sync_block();
    if (backward && s < S) {
      for (int v = lane; v < vocab_size_; v += kLanes) {
        const float p = expf(logits_[v * S + s] - highest) / sum;
        logits_[v * S + s] = counts(label) ? (v == label ? p - 1.0F : p) / count_ : 0.0F;
      }
    }
    sync_block();
  }

  UNROLL_DEVICE void store_gradients(int64_t first) {
    const int64_t left = a_.rows - first;
    const int rows = left < S ? static_cast<int>(left) : S;
    for (int i = thread_index(); i < rows * vocab_size_; i += kThreads) {
      a_.dlogits[first * vocab_size_ + i] = logits_[i % vocab_size_ * S + i / vocab_size_];
    }
    if (thread_index() < vocab_size_) {
      for (int s = 0; s < S; ++s) {
        db_q_ += logits_[thread_index() * S + s];
      }
    }
    for (int k = thread_index(); k < hidden_; k += kThreads) {
      float sums[1][S] = {};
      for (int v = 0; v < vocab_size_; ++v) {
        const float weight[1] = {weights_[k * at_.weights_row + v]};
        multiply_add<1, S>(weight, logits_ + v * S, sums);
      }
      UNROLL_LOOP
      for (int s = 0; s < S; ++s) {
        if (s < rows) {
          a_.dh[(first + s) * a_.hidden + k] = sums[0][s];
        }
      }
    }
    sync_block();
  }

  /// Adds up what the blocks have.
  UNROLL_DEVICE void end(bool backward) {
    auto* doubles = reinterpret_cast<double*>(room_);
    const double loss = block_sum(loss_, doubles);
    if (thread_index() == 0) {
      a_.losses[block_index()] = loss;
    }
    if (backward && thread_index() < vocab_size_) {
      a_.db_q_parts[block_index() * a_.vocab_size + thread_index()] = db_q_;
    }
    if (!is_last_block(a_.arrivals, reinterpret_cast<int*>(room_))) {
      return;
    }
    double losses = 0;
    for (int i = thread_index(); i < block_count(); i += kThreads) {
      losses += load_of_blocks(a_.losses + i);
    }
    const double all = block_sum(losses, doubles);
    if (thread_index() == 0) {
      *a_.loss = static_cast<float>(all / static_cast<double>(count_));
    }
    if (backward) {
      add_up_bias_gradients();
    }
  }

 private:
  static constexpr int64_t kIgnoredLabel = -100;  // as LibTorch's cross_entropy has it
  UNROLL_DEVICE bool counts(int64_t label) const { return label >= 0 && label < vocab_size_; }

  // As NaN counts as the largest, it is not lost.
  UNROLL_DEVICE static float larger_of(float x, float y) { return x > y || x != x ? x : y; }

  // Each warp sums up every kWarps-th block's.
  UNROLL_DEVICE void add_up_bias_gradients() {
    const int warp = thread_index() / kLanes;
    const int lane = thread_index() % kLanes;
    for (int first = 0; first < vocab_size_; first += kLanes) {
      const int v = first + lane;
      float sum = 0;
      for (int block = warp; v < vocab_size_ && block < block_count(); block += kWarps) {
        sum += load_of_blocks(a_.db_q_parts + block * a_.vocab_size + v);
      }
      sync_block();
      room_[thread_index()] = sum;
      sync_block();
      if (warp == 0 && v < vocab_size_) {
        float total = 0;
        for (int w = 0; w < kWarps; ++w) {
          total += room_[w * kLanes + lane];
        }
        a_.db_q[v] = total;
      }
    }
  }

  const OutputArguments& a_;
  int hidden_;
  int vocab_size_;
  OutputLayout at_;
  float* weights_;
  float* values_;
  float* partials_;
  float* logits_;
  float* room_;
  double loss_ = 0;
  float count_ = 0;
  float db_q_ = 0;
};

template <typename Arguments>
UNROLL_KERNEL(kThreads, kOutputBlocksEach)
output_layer(const Arguments a) {
  const bool backward = a.dh != nullptr;
  OutputBlock block(a);
  block.count_labels();
  block.load_weights();
  const int64_t stride = static_cast<int64_t>(block_count()) * kOutputRows;
  for (int64_t first = static_cast<int64_t>(block_index()) * kOutputRows; first < a.rows;
       first += stride) {
    block.load_rows(first);
    block.compute_logits();
    block.compute_losses(first, backward);
    if (backward) {
      block.store_gradients(first);
    }
  }
  block.end(backward);
}

}  // namespace unroll::cuda
