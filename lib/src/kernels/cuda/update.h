#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/reduce.h"

namespace unroll::cuda {

/// Values of a piece that a thread takes: kThreads apart.
constexpr int kEach = kPiece / kThreads;

/// A thread's values of a piece of a tensor.
struct PiecePlace {
  int64_t first;
  int64_t size;  // of the tensor

  UNROLL_DEVICE int64_t at(int j) const { return first + j * kThreads; }
  UNROLL_DEVICE bool has(int j) const { return at(j) < size; }

  /// All at once, so that they are on their way together; zeros where there are none.
  UNROLL_DEVICE void load(const float* from, float (&values)[kEach]) const {
    UNROLL_LOOP
    for (int j = 0; j < kEach; ++j) {
      values[j] = has(j) ? from[at(j)] : 0.0F;
    }
  }
  UNROLL_DEVICE void store(const float (&values)[kEach], float* to) const {
    UNROLL_LOOP
    for (int j = 0; j < kEach; ++j) {
      if (has(j)) {
        to[at(j)] = values[j];
      }
    }
  }
};

/// Calls work(n, place) for the pieces of each tensor n, which the blocks of the grid share; all
/// threads of a block are at the same piece.
template <typename Work>
UNROLL_DEVICE void for_each_piece(int tensors, const int64_t* sizes, const Work& work) {
  int64_t piece = block_index();
  for (int n = 0; n < tensors; ++n) {
    const int64_t pieces = pieces_of(sizes[n]);
    for (; piece < pieces; piece += block_count()) {
      work(n, PiecePlace{piece * kPiece + thread_index(), sizes[n]});
    }
    piece -= pieces;
  }
}

UNROLL_DEVICE bool is_finite(float x) { return x - x == 0.0F; }

/// What one thread does once the norm is known.
UNROLL_DEVICE void end_norm(const NormArguments& a, float norm) {
  const float loss = *a.loss;
  const bool is_over = a.stops && *a.nonfinite > 0;
  const bool finite = is_finite(norm + loss);
  *a.scale = a.clip > 0 && norm > a.clip ? a.clip / norm : 1.0F;
  *a.skip = finite && !is_over ? 0.0F : 1.0F;
  if (!is_over) {
    const double of_nonfinite = a.stops ? static_cast<double>(NAN) : 0.0;
    *a.loss_sum += (finite ? static_cast<double>(loss) : of_nonfinite) * a.tokens;
    *a.norm_sum += finite ? static_cast<double>(norm) : of_nonfinite;
    *a.nonfinite += finite ? 0 : 1;
  }
}

template <typename Arguments>
UNROLL_KERNEL(kThreads, 1)
norm_of_gradients(const Arguments a) {
  auto* room = reinterpret_cast<double*>(shared_memory());
  float sum = 0;
  for_each_piece(a.tensors, a.sizes, [&](int n, const PiecePlace& mine) {
    float g[kEach];
    mine.load(a.gradients[n], g);
    UNROLL_LOOP
    for (int j = 0; j < kEach; ++j) {
      sum += g[j] * g[j];
    }
  });
  const double of_block = block_sum(static_cast<double>(sum), room);
  if (thread_index() == 0) {
    a.squares[a.first + block_index()] = of_block;
  }
  if (a.all == 0 || !is_last_block(a.arrivals, reinterpret_cast<int*>(room))) {
    return;
  }
  double mine = 0;
  for (int i = thread_index(); i < a.all; i += kThreads) {
    mine += load_of_blocks(a.squares + i);
  }
  const double total = block_sum(mine, room);
  if (thread_index() == 0) {
    end_norm(a, static_cast<float>(sqrt(total)));
  }
}

/// Adam's two denominators of one weight at this step: the same for all its values.
struct AdamScales {
  float first;        // 1 - beta1^t
  float root_second;  // sqrt(1 - beta2^t)
};

UNROLL_DEVICE AdamScales adam_scales(const UpdateArguments& a, int n) {
  const double t = static_cast<double>(*a.steps[n]) + 1.0;
  return {static_cast<float>(1.0 - pow(a.beta1, t)),
          static_cast<float>(sqrt(1.0 - pow(a.beta2, t)))};
}

/// What is the same for all values of all weights.
struct UpdateScales {
  float lr;
  float of_gradients;
};

UNROLL_DEVICE void step_by_sgd(const UpdateArguments& a, int n, const PiecePlace& mine,
                               const UpdateScales& scales) {
  float p[kEach];
  float g[kEach];
  float m[kEach] = {};
  const bool has_momentum = a.means[n] != nullptr;
  mine.load(a.weights[n], p);
  mine.load(a.gradients[n], g);
  if (has_momentum) {
    mine.load(a.means[n], m);
  }
  UNROLL_LOOP
  for (int j = 0; j < kEach; ++j) {
    g[j] *= scales.of_gradients;
    if (a.weight_decay != 0.0F) {
      g[j] += a.weight_decay * p[j];
    }
    m[j] = a.momentum * m[j] + g[j];
    p[j] -= scales.lr * (has_momentum ? m[j] : g[j]);
  }
  if (has_momentum) {
    mine.store(m, a.means[n]);
  }
  mine.store(p, a.weights[n]);
}

template <UpdateRule kRule>
UNROLL_DEVICE void step_by_adam(const UpdateArguments& a, int n, const PiecePlace& mine,
                                const UpdateScales& scales, const AdamScales& of_step) {
  const auto beta1 = static_cast<float>(a.beta1);
  const auto beta2 = static_cast<float>(a.beta2);
  float p[kEach];
  float g[kEach];
  float mean[kEach];
  float square[kEach];
  mine.load(a.weights[n], p);
  mine.load(a.gradients[n], g);
  mine.load(a.means[n], mean);
  mine.load(a.squares[n], square);
  UNROLL_LOOP
  for (int j = 0; j < kEach; ++j) {
    g[j] *= scales.of_gradients;
    if (kRule == UpdateRule::kAdam) {
      g[j] += a.weight_decay * p[j];
    } else {
      p[j] -= scales.lr * a.weight_decay * p[j];
    }
    mean[j] = beta1 * mean[j] + static_cast<float>(1.0 - a.beta1) * g[j];
    square[j] = beta2 * square[j] + static_cast<float>(1.0 - a.beta2) * g[j] * g[j];
    const float root = sqrtf(square[j]) / of_step.root_second + a.epsilon;
    p[j] -= scales.lr / of_step.first * mean[j] / root;
  }
  mine.store(mean, a.means[n]);
  mine.store(square, a.squares[n]);
  mine.store(p, a.weights[n]);
}

UNROLL_DEVICE void carry_states(const UpdateArguments& a, bool skip) {
  for_each_piece(a.states, a.state_sizes, [&](int n, const PiecePlace& mine) {
    const StateCopy& state = a.carry[n];
    float values[kEach];
    mine.load(skip && state.begin != nullptr ? state.begin : state.after, values);
    mine.store(values, state.to);
  });
}

template <UpdateRule kRule>
UNROLL_KERNEL(kThreads, 1)
update_weights(const UpdateArguments a) {
  const bool skip = *a.skip != 0.0F;
  carry_states(a, skip);
  if (skip) {
    return;
  }
  const UpdateScales scales{*a.lr, *a.scale};
  if constexpr (kRule == UpdateRule::kSgd) {
    for_each_piece(a.tensors, a.sizes,
                   [&](int n, const PiecePlace& mine) { step_by_sgd(a, n, mine, scales); });
  } else {
    auto* of_step = reinterpret_cast<AdamScales*>(shared_memory());
    int last = -1;
    for_each_piece(a.tensors, a.sizes, [&](int n, const PiecePlace& mine) {
      if (n != last) {
        last = n;
        sync_block();  // others may still read it
        if (thread_index() == 0) {
          *of_step = adam_scales(a, n);
        }
        sync_block();
      }
      step_by_adam<kRule>(a, n, mine, scales, *of_step);
    });
    if (is_last_block(a.arrivals, reinterpret_cast<int*>(shared_memory()))) {
      for (int n = thread_index(); n < a.tensors; n += kThreads) {
        *a.steps[n] += 1.0F;
      }
    }
  }
}

}  // namespace unroll::cuda
