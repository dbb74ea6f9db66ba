#pragma once

#include "kernels/cuda/arguments.h"
#include "kernels/cuda/reduce.h"

namespace unroll::cuda {

/// Calls work(n, i) for each value i of each tensor n, whose values the threads of the grid share
/// in pieces; before each piece begin(n), in all threads of its block.
template <typename Begin, typename Work>
UNROLL_DEVICE void for_each_value(int tensors, const int64_t* sizes, const Begin& begin,
                                  const Work& work) {
  int64_t piece = block_index();
  for (int n = 0; n < tensors; ++n) {
    const int64_t pieces = pieces_of(sizes[n]);
    for (; piece < pieces; piece += block_count()) {
      begin(n);
      UNROLL_LOOP
      for (int j = 0; j < kPiece / kThreads; ++j) {
        const int64_t i = piece * kPiece + j * kThreads + thread_index();
        if (i < sizes[n]) {
          work(n, i);
        }
      }
    }
    piece -= pieces;
  }
}

struct NoBeginning {
  UNROLL_DEVICE void operator()(int) const {}
};

UNROLL_DEVICE bool is_finite(float x) { return x - x == 0.0F; }

/// What one thread does once the norm is known.
UNROLL_DEVICE void end_norm(const NormArguments& a, float norm) {
  const float loss = *a.loss;
  const bool finite = is_finite(norm + loss);
  const float bound = a.clip > 0 && norm > a.clip ? a.clip / norm : 1.0F;
  *a.scale = bound;
  *a.skip = finite ? 0.0F : 1.0F;
  *a.loss_sum += (finite ? static_cast<double>(loss) : a.of_nonfinite) * a.tokens;
  *a.norm_sum += finite ? static_cast<double>(norm) : a.of_nonfinite;
  *a.nonfinite += finite ? 0 : 1;
}

template <typename Arguments>
UNROLL_KERNEL(kThreads)
norm_of_gradients(const Arguments a) {
  auto* room = reinterpret_cast<double*>(shared_memory());
  float sum = 0;
  for_each_value(a.tensors, a.sizes, NoBeginning(), [&](int n, int64_t i) {
    const float g = a.gradients[n][i];
    sum += g * g;
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

UNROLL_DEVICE void step_by_sgd(const UpdateArguments& a, int n, int64_t i, float lr, float scale) {
  float& p = a.weights[n][i];
  float g = a.gradients[n][i] * scale;
  if (a.weight_decay != 0.0F) {
    g += a.weight_decay * p;
  }
  if (a.means[n] != nullptr) {
    float& m = a.means[n][i];
    g = a.momentum * m + g;
    m = g;
  }
  p -= lr * g;
}

template <UpdateRule kRule>
UNROLL_DEVICE void step_by_adam(const UpdateArguments& a, int n, int64_t i, float lr, float scale,
                                const AdamScales& of_step) {
  float p = a.weights[n][i];
  float g = a.gradients[n][i] * scale;
  if (kRule == UpdateRule::kAdam) {
    g += a.weight_decay * p;
  } else {
    p -= lr * a.weight_decay * p;
  }
  const auto beta1 = static_cast<float>(a.beta1);
  const auto beta2 = static_cast<float>(a.beta2);
  float& mean = a.means[n][i];
  float& square = a.squares[n][i];
  mean = beta1 * mean + static_cast<float>(1.0 - a.beta1) * g;
  square = beta2 * square + static_cast<float>(1.0 - a.beta2) * g * g;
  const float root = sqrtf(square) / of_step.root_second + a.epsilon;
  a.weights[n][i] = p - lr / of_step.first * mean / root;
}

UNROLL_DEVICE void carry_states(const UpdateArguments& a, bool skip) {
  int64_t sizes[2] = {a.carry[0].size, a.carry[1].size};
  for_each_value(a.states, sizes, NoBeginning(), [&](int n, int64_t i) {
    const StateCopy& state = a.carry[n];
    state.to[i] = skip && state.begin != nullptr ? state.begin[i] : state.after[i];
  });
}

template <UpdateRule kRule>
UNROLL_KERNEL(kThreads)
update_weights(const UpdateArguments a) {
  const bool skip = *a.skip != 0.0F;
  carry_states(a, skip);
  if (skip) {
    return;
  }
  const float lr = *a.lr;
  const float scale = *a.scale;
  if constexpr (kRule == UpdateRule::kSgd) {
    for_each_value(a.tensors, a.sizes, NoBeginning(),
                   [&](int n, int64_t i) { step_by_sgd(a, n, i, lr, scale); });
  } else {
    auto* of_step = reinterpret_cast<AdamScales*>(shared_memory());
    const auto begin = [&](int n) {
      sync_block();
      if (thread_index() == 0) {
        *of_step = adam_scales(a, n);
      }
      sync_block();
    };
    for_each_value(a.tensors, a.sizes, begin,
                   [&](int n, int64_t i) { step_by_adam<kRule>(a, n, i, lr, scale, *of_step); });
    if (is_last_block(a.arrivals, reinterpret_cast<int*>(shared_memory()))) {
      for (int n = thread_index(); n < a.tensors; n += kThreads) {
        *a.steps[n] += 1.0F;
      }
    }
  }
}

}  // namespace unroll::cuda
