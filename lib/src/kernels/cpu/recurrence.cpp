#include "kernels/cpu/recurrence.h"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/pack.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/weight_gradients.h"

namespace unroll::cpu {
namespace {

// Sequences whose sums are kept beside a panel of weights: 16 KiB of them, half of a first-level
// cache.
constexpr int64_t kRowsOfSums = 64;

}  // namespace

int64_t gate_count(CellKind cell) {
  switch (cell) {
    case CellKind::kLstm:
      return 4;
    case CellKind::kGruBefore:
    case CellKind::kGruAfter:
      return 3;
    case CellKind::kRnn:
      break;
  }
  return 1;
}

Recurrence::Recurrence(CellKind cell, int64_t hidden) : cell_(cell), hidden_(hidden) {
  const auto layout = [&](const std::vector<int64_t>& members) {
    return Gates{.count = static_cast<int64_t>(members.size()), .hidden = hidden};
  };
  const auto gates = [&](const std::vector<int64_t>& members) {
    return Group{.gates = layout(members), .members = members};
  };
  const auto part = [&](const std::vector<int64_t>& members, const Panels& dz) {
    return InputPart{.gates = layout(members), .members = members, .dz = &dz};
  };
  switch (cell) {
    case CellKind::kRnn:
      groups_.push_back(gates({0}));
      parts_.push_back(part({0}, gates_));
      break;
    case CellKind::kLstm:
      groups_.push_back(gates({0, 1, 2, 3}));
      parts_.push_back(part({0, 1, 2, 3}, gates_));
      break;
    case CellKind::kGruBefore:
      groups_.push_back(gates({0, 1}));
      groups_.push_back(gates({2}));
      parts_.push_back(part({0, 1}, gates_));
      parts_.push_back(part({2}, n_));
      break;
    case CellKind::kGruAfter:
      groups_.push_back(gates({0, 1, 2}));
      parts_.push_back(part({0, 1, -1}, gates_));
      parts_.push_back(part({2}, n_));
      break;
  }
}

const Panels& Recurrence::dz(std::size_t phase) const { return phase == 0 ? gates_ : n_; }

void Recurrence::pack(const LayerParameters& parameters, int64_t inputs, bool with_backward) {
  for (auto& group : groups_) {
    const auto& gates = group.gates;
    group.W_h.resize(hidden_, gates.columns(), gates.width());
    group.b.resize(1, gates.columns(), gates.width());
    if (with_backward) {
      group.W_h_t.resize(gates.columns(), hidden_);
    }
    if (inputs > 0) {
      group.W_x.resize(inputs, gates.columns(), gates.width());
    }
    for (int64_t g = 0; g < gates.count; ++g) {
      const auto& gate = parameters.gates[group.members[g]];
      for (int64_t n = 0; n < hidden_; ++n) {
        group.b.at(0, gates.column(n / kBlock, g))[n % kBlock] =
            gate.b[n] + (gate.b_again == nullptr ? 0.0F : gate.b_again[n]);
      }
    }
    parallel_for(0, gates.blocks(), grain(hidden_ * gates.columns() / 4),
                 [&](int64_t first, int64_t last) {
                   const int64_t begin = first * kBlock;
                   const int64_t end = std::min(last * kBlock, hidden_);
                   for (int64_t g = 0; g < gates.count; ++g) {
                     const auto& W = parameters.gates[group.members[g]].W_h;
                     cpu::pack(W, gates, g, begin, end, group.W_h);
                     if (with_backward) {
                       pack_transposed(W, gates, g, begin, end, group.W_h_t);
                     }
                   }
                 });
    parallel_for(0, inputs, grain(gates.columns()), [&](int64_t first, int64_t last) {
      for (int64_t g = 0; g < gates.count; ++g) {
        cpu::pack(parameters.gates[group.members[g]].W_x, gates, g, first, last, group.W_x);
      }
    });
  }
  if (inputs > 0 && with_backward) {
    for (auto& part : parts_) {
      part.W_x_t.resize(part.gates.columns(), inputs);
      parallel_for(
          0, part.gates.blocks(), grain(kBlock * inputs), [&](int64_t first, int64_t last) {
            for (int64_t g = 0; g < part.gates.count; ++g) {
              if (part.members[g] >= 0) {
                pack_transposed(parameters.gates[part.members[g]].W_x, part.gates, g,
                                first * kBlock, std::min(last * kBlock, hidden_), part.W_x_t);
              }
            }
          });
    }
  }
  if (cell_ == CellKind::kGruAfter) {
    b_hh_.resize(1, hidden_);
    copy_rows_in(parameters.b_hh, 1, hidden_, b_hh_);
  }
}

void Recurrence::begin(int64_t steps, int64_t batch_size, bool with_backward) {
  steps_ = steps;
  batch_size_ = batch_size;
  const int64_t rows = steps * batch_size;
  h_.resize(rows + batch_size, hidden_);
  gates_.resize(rows, groups_[0].gates.columns(), groups_[0].gates.width());
  if (cell_ == CellKind::kLstm) {
    c_.resize(rows + batch_size, hidden_);
  }
  if (cell_ == CellKind::kGruBefore) {
    rh_.resize(rows, hidden_);
  }
  if (cell_ == CellKind::kGruBefore || cell_ == CellKind::kGruAfter) {
    n_.resize(rows, hidden_);
  }
  if (with_backward) {
    dh_.resize(rows, hidden_);
    dh_last_.resize(batch_size, hidden_);
    carry_.resize(batch_size, hidden_);
  }
}

void Recurrence::set_state(const float* h, const float* c) {
  copy_rows_in(h, batch_size_, hidden_, h_);
  if (cell_ == CellKind::kLstm) {
    copy_rows_in(c, batch_size_, hidden_, c_);
  }
}

void Recurrence::set_input(const TokenRows& rows, const LayerParameters& parameters) {
  tokens_ = &rows;
  x_ = nullptr;
  const auto count = static_cast<int64_t>(rows.tokens.size());
  for (auto& group : groups_) {
    group.input.resize(count, group.gates.columns(), group.gates.width());
    parallel_for(0, count, grain(group.gates.columns()), [&](int64_t first, int64_t last) {
      for (int64_t g = 0; g < group.gates.count; ++g) {
        const auto& W_x = parameters.gates[group.members[g]].W_x;
        for (int64_t s = first; s < last; ++s) {
          const int64_t token = rows.tokens[s];
          for (int64_t n = 0; n < hidden_; n += kBlock) {
            float* to = group.input.at(s, group.gates.column(n / kBlock, g));
            for (int64_t j = 0; j < std::min(kBlock, hidden_ - n); ++j) {
              to[j] = W_x(token, n + j);
            }
          }
        }
      }
      for (int64_t p = 0; p < group.input.panels(); ++p) {
        add_row(group.b, first, last, p, group.input);
      }
    });
  }
}

void Recurrence::set_input(const Panels& x, int64_t first_row) {
  x_ = &x;
  x_first_row_ = first_row;
  tokens_ = nullptr;
  const int64_t rows = steps_ * batch_size_;
  if (static_cast<int64_t>(every_row_.size()) != rows) {
    every_row_.resize(static_cast<std::size_t>(rows));
    std::iota(every_row_.begin(), every_row_.end(), 0);
    one_slot_.assign(static_cast<std::size_t>(rows), 0);
  }
  for (auto& group : groups_) {
    const auto& W_x = group.W_x;
    group.input.resize(rows, W_x.columns(), W_x.width());
    const auto multiply_part = [&](int64_t first, int64_t last, int64_t p_begin, int64_t p_end) {
      for (int64_t p = p_begin; p < p_end; ++p) {
        multiply(x, first_row + first, last - first, W_x, p, group.input.at(first, p * W_x.width()),
                 W_x.width(), false);
        add_row(group.b, first, last, p, group.input);
      }
    };
    if (rows >= W_x.panels()) {
      parallel_for(0, rows, grain(W_x.rows() * W_x.columns()), [&](int64_t first, int64_t last) {
        multiply_part(first, last, 0, W_x.panels());
      });
    } else {
      parallel_for(0, W_x.panels(), grain(W_x.rows() * W_x.width() * rows),
                   [&](int64_t first, int64_t last) { multiply_part(0, rows, first, last); });
    }
  }
}

void Recurrence::carry_state() {
  const auto carry = [&](Panels& state) {
    for (int64_t p = 0; p < state.panels(); ++p) {
      const int64_t size = batch_size_ * state.width();
      std::copy_n(state.at(steps_ * batch_size_, p * state.width()), size,
                  state.at(0, p * state.width()));
    }
  };
  carry(h_);
  if (cell_ == CellKind::kLstm) {
    carry(c_);
  }
}

bool Recurrence::split_by_sequences() const {
  // Each thread reads all weights in every step: fewer sequences than this a thread, and reading
  // them costs more than the barriers of the other way, provided that a step is worth a barrier.
  constexpr int64_t kSequencesAThread = 8;
  constexpr int64_t kWorthABarrier = 4 * kWorthAThread;
  const int64_t threads = thread_count();
  const int64_t work = batch_size_ * hidden_ * groups_[0].gates.columns();
  return threads == 1 || work < kWorthABarrier || batch_size_ >= kSequencesAThread * threads;
}

void Recurrence::forward() {
  const int64_t cost = hidden_ * groups_[0].gates.columns();
  if (split_by_sequences()) {
    parallel_for(0, batch_size_, grain(cost * steps_), [&](int64_t first, int64_t last) {
      for (int64_t t = 0; t < steps_; ++t) {
        for (std::size_t phase = 0; phase < groups_.size(); ++phase) {
          forward_phase(phase, t, first, last, 0, groups_[phase].W_h.panels());
        }
      }
    });
    return;
  }
  for (int64_t t = 0; t < steps_; ++t) {
    for (std::size_t phase = 0; phase < groups_.size(); ++phase) {
      const auto& W = groups_[phase].W_h;
      parallel_for(0, W.panels(), grain(batch_size_ * hidden_ * W.width()),
                   [&](int64_t first, int64_t last) {
                     forward_phase(phase, t, 0, batch_size_, first, last);
                   });
    }
  }
}

void Recurrence::forward_phase(std::size_t phase, int64_t t, int64_t b_begin, int64_t b_end,
                               int64_t p_begin, int64_t p_end) {
  alignas(64) float sums[kRowsOfSums * kPanel];
  const auto& group = groups_[phase];
  const CellInput x{&group.input, x_ == nullptr ? tokens_->slot.data() : every_row_.data()};
  for (int64_t p = p_begin; p < p_end; ++p) {
    for (int64_t b = b_begin; b < b_end; b += kRowsOfSums) {
      const int64_t rows = std::min(kRowsOfSums, b_end - b);
      multiply(left(phase), t * batch_size_ + b, rows, group.W_h, p, sums, kPanel, false);
      const bool single = group.gates.count == 1;
      const CellTile tile{.sums = sums,
                          .stride = kPanel,
                          .time = t,
                          .batch_size = batch_size_,
                          .row = b,
                          .rows = rows,
                          .block = single ? p * (kPanel / kBlock) : p,
                          .blocks = single ? group.W_h.panel_columns(p) / kBlock : 1};
      switch (cell_) {
        case CellKind::kRnn:
          rnn_forward(tile, x, h_);
          break;
        case CellKind::kLstm:
          lstm_forward(tile, x, gates_, c_, h_);
          break;
        case CellKind::kGruAfter:
          gru_after_forward(tile, x, b_hh_, gates_, n_, h_);
          break;
        case CellKind::kGruBefore:
          if (phase == 0) {
            gru_before_gates_forward(tile, x, h_, gates_, rh_);
          } else {
            gru_before_state_forward(tile, x, gates_, n_, h_);
          }
          break;
      }
    }
  }
}

void Recurrence::copy_state(float* h, float* c) const {
  copy_rows_out(h_, steps_ * batch_size_, batch_size_, hidden_, h);
  if (cell_ == CellKind::kLstm) {
    copy_rows_out(c_, steps_ * batch_size_, batch_size_, hidden_, c);
  }
}

void Recurrence::set_state_gradient(const float* dh, const float* dc) {
  copy_rows_in(dh, batch_size_, hidden_, dh_last_);
  copy_rows_in(dc, batch_size_, hidden_, carry_);
}

void Recurrence::backward(const LayerParameters& gradients) {
  const int64_t cost = hidden_ * groups_[0].gates.columns();
  const int64_t panels = dh_.panels();
  if (split_by_sequences()) {
    parallel_for(0, batch_size_, grain(cost * steps_), [&](int64_t first, int64_t last) {
      for (int64_t t = steps_ - 1; t >= 0; --t) {
        for (std::size_t phase = 0; phase < groups_.size(); ++phase) {
          backward_phase(phase, t, first, last, 0, panels);
        }
      }
    });
  } else {
    for (int64_t t = steps_ - 1; t >= 0; --t) {
      for (std::size_t phase = 0; phase < groups_.size(); ++phase) {
        parallel_for(0, panels, grain(batch_size_ * groups_[phase].gates.columns() * kPanel),
                     [&](int64_t first, int64_t last) {
                       backward_phase(phase, t, 0, batch_size_, first, last);
                     });
      }
    }
  }
  recurrent_gradients(gradients);
  input_gradients(gradients);
}

void Recurrence::backward_phase(std::size_t phase, int64_t t, int64_t b_begin, int64_t b_end,
                                int64_t p_begin, int64_t p_end) {
  alignas(64) float sums[kRowsOfSums * kPanel];
  // The first phase takes up the gradient that the next step left; the second goes on within the
  // step.
  const bool last = phase == 0 && t == steps_ - 1;
  const int64_t from = phase == 0 ? t + 1 : t;
  for (int64_t p = p_begin; p < p_end; ++p) {
    for (int64_t b = b_begin; b < b_end; b += kRowsOfSums) {
      const int64_t rows = std::min(kRowsOfSums, b_end - b);
      if (!last) {
        multiply(dz(phase), from * batch_size_ + b, rows, groups_[phase].W_h_t, p, sums, kPanel,
                 false);
      }
      const CellTile tile{.sums = last ? dh_last_.at(b, p * kPanel) : sums,
                          .stride = kPanel,
                          .time = t,
                          .batch_size = batch_size_,
                          .row = b,
                          .rows = rows,
                          .block = p * (kPanel / kBlock),
                          .blocks = dh_.panel_columns(p) / kBlock};
      switch (cell_) {
        case CellKind::kRnn:
          rnn_backward(tile, dh_, h_, gates_);
          break;
        case CellKind::kLstm:
          lstm_backward(tile, dh_, c_, gates_, carry_);
          break;
        case CellKind::kGruAfter:
          gru_after_backward(tile, dh_, h_, gates_, n_, carry_);
          break;
        case CellKind::kGruBefore:
          if (phase == 0) {
            gru_before_state_backward(tile, dh_, h_, gates_, n_, carry_);
          } else {
            gru_before_gates_backward(tile, h_, gates_, carry_);
          }
          break;
      }
    }
  }
}

void Recurrence::recurrent_gradients(const LayerParameters& gradients) const {
  for (std::size_t phase = 0; phase < groups_.size(); ++phase) {
    const auto& group = groups_[phase];
    weight_gradients(left(phase), 0, dz(phase), group.gates,
                     [&](int64_t gate) { return &gradients.gates[group.members[gate]].W_h; });
  }
}

void Recurrence::input_gradients(const LayerParameters& gradients) {
  const auto& slots = tokens_ == nullptr ? one_slot_ : tokens_->slot;
  const int64_t slot_count = tokens_ == nullptr ? 1 : static_cast<int64_t>(tokens_->tokens.size());
  const auto sum_to = [&](const InputPart& part, int64_t gate, float* to) {
    std::vector<float> row(static_cast<std::size_t>(hidden_));
    std::fill_n(to, hidden_, 0.0F);
    for (int64_t s = 0; s < slot_count; ++s) {
      unpack_row(part.sums.at(s, 0), part.sums.panel_stride(), part.gates, gate, row.data(), 1);
      for (int64_t n = 0; n < hidden_; ++n) {
        to[n] += row[n];
      }
    }
  };
  for (auto& part : parts_) {
    part.sums.resize(slot_count, part.gates.columns(), part.gates.width());
    parallel_for(0, part.sums.panels(), grain(part.dz->rows() * part.gates.width()),
                 [&](int64_t first, int64_t last) {
                   for (int64_t p = first; p < last; ++p) {
                     sum_rows(*part.dz, slots.data(), p, part.sums);
                   }
                 });
    for (int64_t g = 0; g < part.gates.count; ++g) {
      if (part.members[g] < 0) {
        sum_to(part, g, gradients.b_hh);
        continue;
      }
      const auto& gate = gradients.gates[part.members[g]];
      sum_to(part, g, gate.b);
      if (gate.b_again != nullptr) {
        std::copy_n(gate.b, hidden_, gate.b_again);
      }
      if (tokens_ != nullptr) {
        for (int64_t s = 0; s < slot_count; ++s) {
          unpack_row(part.sums.at(s, 0), part.sums.panel_stride(), part.gates, g,
                     &gate.W_x(tokens_->tokens[s], 0), gate.W_x.column_stride);
        }
      }
    }
    if (x_ != nullptr) {
      weight_gradients(*x_, x_first_row_, *part.dz, part.gates,
                       [&](int64_t gate) -> const StridedMatrix* {
                         const int64_t member = part.members[gate];
                         return member < 0 ? nullptr : &gradients.gates[member].W_x;
                       });
    }
  }
}

void Recurrence::input_gradient(Panels& dx) const {
  const int64_t rows = steps_ * batch_size_;
  dx.resize(rows, x_->columns());
  parallel_for(0, rows, grain(dx.columns() * gates_.columns()), [&](int64_t first, int64_t last) {
    for (int64_t p = 0; p < dx.panels(); ++p) {
      for (std::size_t k = 0; k < parts_.size(); ++k) {
        multiply(*parts_[k].dz, first, last - first, parts_[k].W_x_t, p, dx.at(first, p * kPanel),
                 kPanel, k > 0);
      }
    }
  });
}

void Recurrence::state_gradient(float* dh, float* dc) const {
  Panels result;
  result.resize(batch_size_, hidden_);
  for (int64_t p = 0; p < result.panels(); ++p) {
    multiply(dz(0), 0, batch_size_, groups_[0].W_h_t, p, result.at(0, p * kPanel), kPanel, false);
  }
  copy_rows_out(result, 0, batch_size_, hidden_, dh);
  if (cell_ == CellKind::kLstm) {
    copy_rows_out(carry_, 0, batch_size_, hidden_, dc);
  } else if (cell_ != CellKind::kRnn) {
    std::vector<float> past(static_cast<std::size_t>(batch_size_ * hidden_));
    copy_rows_out(carry_, 0, batch_size_, hidden_, past.data());
    for (std::size_t i = 0; i < past.size(); ++i) {
      dh[i] += past[i];
    }
  }
}

}  // namespace unroll::cpu
