#include "kernels/cpu/recurrence.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/cpu/pack.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/tile_product.h"

namespace unroll::cpu {
namespace {

// Sequences whose sums are kept beside a panel of weights: 16 KiB of them, a third of a first-level
// cache.
constexpr int64_t kRowsOfSums = 64;
// With tiles, whose unit works beside the vector units: two sets of half as many, so that the
// formulas of one are computed during the products of the next.
constexpr int64_t kRowsOfTiles = 32;

// A step's products and formulas, a part of the units and sequences at a time. With tiles, the
// formulas of a part are computed during the products of the next.
template <typename Formulas>
class WorkInTurns {
 public:
  // `sums` holds kRowsOfSums rows.
  WorkInTurns(CellKind cell, int parts, float* sums, const Formulas& formulas)
      : by_row_(is_simple(cell)), tiles_(parts > 0), sums_(sums), formulas_(formulas) {}

  // Sequences of a part.
  int64_t rows() const { return tiles_ ? kRowsOfTiles : kRowsOfSums; }
  // Where the sums of the next part go.
  float* sums() const { return sums_ + parts_done_ % 2 * kRowsOfTiles * kPanel; }

  // The sums of a part, of panel p, are these products, if any, or added to them; then its
  // formulas.
  void add(std::span<const StepTerm> terms, int64_t p, bool accumulate, const CellTile& tile) {
    if (!tiles_) {
      if (!terms.empty()) {
        multiply_step(terms, tile.row, tile.rows, p, sums(), kPanel, accumulate);
      }
      formulas_(tile);
      return;
    }
    TileWork products = terms.empty() ? TileWork()
                                      : tile_work_of_step(terms, tile.row, tile.rows, p, sums(),
                                                          kPanel, accumulate);
    products.spread(rounds_of(waiting_, by_row_));
    waiting_.meanwhile = &products;
    end();
    products.finish();
    waiting_ = tile;
    ++parts_done_;
  }
  // The formulas that are left.
  void end() {
    if (waiting_.rows > 0) {
      formulas_(waiting_);
      waiting_.rows = 0;
    }
    waiting_.meanwhile = nullptr;
  }

 private:
  bool by_row_;
  bool tiles_;
  float* sums_;
  const Formulas& formulas_;
  CellTile waiting_{};
  int parts_done_ = 0;
};

}  // namespace

Recurrence::Recurrence(CellKind cell, int64_t hidden, int parts)
    : hidden_(hidden), parts_(parts), memory_{.cell = cell} {
  const auto layout = [&](const std::vector<int64_t>& members) {
    return Gates{.count = static_cast<int64_t>(members.size()), .hidden = hidden};
  };
  const auto gates = [&](const std::vector<int64_t>& members) {
    return Group{.gates = layout(members), .members = members};
  };
  const auto part = [&](const std::vector<int64_t>& members, const Activations& dz) {
    return InputPart{.gates = layout(members), .members = members, .dz = &dz};
  };
  switch (cell) {
    case CellKind::kGruBefore:
      groups_.push_back(gates({0, 1}));
      groups_.push_back(gates({2}));
      parts_of_input_.push_back(part({0, 1}, memory_.gates));
      parts_of_input_.push_back(part({2}, memory_.n));
      break;
    case CellKind::kGruAfter:
      groups_.push_back(gates({0, 1, 2}));
      parts_of_input_.push_back(part({0, 1, -1}, memory_.gates));
      parts_of_input_.push_back(part({2}, memory_.n));
      break;
    default: {  // all gates follow from one product and have one gradient
      std::vector<int64_t> all(static_cast<std::size_t>(gate_count(cell)));
      std::iota(all.begin(), all.end(), 0);
      groups_.push_back(gates(all));
      parts_of_input_.push_back(part(all, memory_.gates));
      break;
    }
  }
}

const Activations& Recurrence::dz(std::size_t phase) const {
  return phase == 0 ? memory_.gates : memory_.n;
}

void Recurrence::pack(const LayerParameters& parameters, int64_t inputs, bool with_backward) {
  inputs_ = inputs;
  for (auto& group : groups_) {
    const auto& gates = group.gates;
    group.W_h.resize(hidden_, gates.columns(), gates.width(), parts_);
    group.b.resize(1, gates.columns(), gates.width());
    if (with_backward) {
      group.W_h_t.resize(gates.columns(), hidden_, kPanel, parts_);
    }
    if (inputs > 0) {
      group.W_x.resize(inputs, gates.columns(), gates.width(), parts_);
    }
    for (int64_t g = 0; g < gates.count; ++g) {
      const auto& gate = parameters.gates[group.members[g]];
      for (int64_t n = 0; n < hidden_; ++n) {
        group.b.at(0, gates.column(n / kBlock, g))[n % kBlock] =
            gate.b[n] + (gate.b_again == nullptr ? 0.0F : gate.b_again[n]);
      }
    }
    parallel_for(0, (hidden_ + kBlock - 1) / kBlock, grain(kCopying * kBlock * gates.columns()),
                 [&](int64_t first, int64_t last) {
                   // Both ways of the same rows, while they are in the first-level cache
                   for (int64_t k = first; k < last; ++k) {
                     for (int64_t g = 0; g < gates.count; ++g) {
                       const auto& W = parameters.gates[group.members[g]].W_h;
                       cpu::pack(W, gates, g, k, k + 1, group.W_h);
                       if (with_backward) {
                         pack_transposed(W, gates, g, k, k + 1, group.W_h_t);
                       }
                     }
                   }
                 });
    parallel_for(0, (inputs + kBlock - 1) / kBlock, grain(kCopying * kBlock * gates.columns()),
                 [&](int64_t first, int64_t last) {
                   for (int64_t g = 0; g < gates.count; ++g) {
                     cpu::pack(parameters.gates[group.members[g]].W_x, gates, g, first, last,
                               group.W_x);
                   }
                 });
  }
  if (inputs > 0 && with_backward) {
    for (auto& part : parts_of_input_) {
      part.W_x_t.resize(part.gates.columns(), inputs, kPanel, parts_);
      parallel_for(0, (inputs + kBlock - 1) / kBlock,
                   grain(kCopying * kBlock * part.gates.columns()),
                   [&](int64_t first, int64_t last) {
                     for (int64_t g = 0; g < part.gates.count; ++g) {
                       if (part.members[g] >= 0) {
                         pack_transposed(parameters.gates[part.members[g]].W_x, part.gates, g,
                                         first, last, part.W_x_t);
                       }
                     }
                   });
    }
  }
  if (table_of(memory_.cell).has_b_hh) {
    memory_.b_hh.resize(1, hidden_);
    copy_rows_in(parameters.b_hh, 1, hidden_, memory_.b_hh);
  }
}

void Recurrence::begin(int64_t steps, int64_t batch_size, bool with_backward) {
  steps_ = steps;
  batch_size_ = batch_size;
  const bool tiles = parts_ > 0;
  const bool gru = memory_.cell == CellKind::kGruBefore || memory_.cell == CellKind::kGruAfter;
  memory_.h.resize(steps + 1, batch_size, hidden_, kStatePanel,
                   {.values = !tiles || gru, .parts = parts_});
  // A gate's value is for the formulas backward, its gradient for the products. A single gate is h.
  const ActivationForms gradients{.values = !tiles || !is_simple(memory_.cell),
                                  .parts = with_backward ? parts_ : 0,
                                  .right = true,
                                  .last_steps = inputs_ == 0};
  memory_.gates.resize(steps, batch_size, groups_[0].gates.columns(), groups_[0].gates.width(),
                       gradients);
  if (has_c(memory_.cell)) {
    memory_.c.resize((steps + 1) * batch_size, hidden_);
  }
  if (memory_.cell == CellKind::kGruBefore) {
    memory_.rh.resize(steps, batch_size, hidden_, kStatePanel, {.values = !tiles, .parts = parts_});
  }
  if (gru) {
    memory_.n.resize(steps, batch_size, hidden_, kPanel, gradients);
  }
  if (with_backward) {
    dh_last_.resize(batch_size, hidden_);
    memory_.carry.resize(batch_size, hidden_);
  }
}

void Recurrence::set_state(const float* h, const float* c) {
  copy_step_in(h, 0, memory_.h);
  if (has_c(memory_.cell)) {
    copy_rows_in(c, batch_size_, hidden_, memory_.c);
  }
}

void Recurrence::set_input(const TokenRows& rows, const LayerParameters& parameters) {
  tokens_ = &rows;
  x_ = nullptr;
  const auto count = static_cast<int64_t>(rows.tokens.size());
  for (auto& group : groups_) {
    group.input.resize(count, group.gates.columns(), group.gates.width());
    parallel_for(0, count, grain(kCopying * group.gates.columns()),
                 [&](int64_t first, int64_t last) {
                   for (int64_t g = 0; g < group.gates.count; ++g) {
                     const auto& W_x = parameters.gates[group.members[g]].W_x;
                     for (int64_t s = first; s < last; ++s) {
                       const int64_t token = rows.tokens[s];
                       for (int64_t n = 0; n < hidden_; n += kBlock) {
                         const int64_t column = group.gates.column(n / kBlock, g);
                         const float* b = group.b.at(0, column);
                         float* to = group.input.at(s, column);
                         for (int64_t j = 0; j < std::min(kBlock, hidden_ - n); ++j) {
                           to[j] = W_x(token, n + j) + b[j];
                         }
                       }
                     }
                   }
                 });
  }
}

void Recurrence::set_input(const Activations& x, int64_t first_step) {
  x_ = &x;
  x_first_step_ = first_step;
  tokens_ = nullptr;
  const int64_t rows = steps_ * batch_size_;
  if (static_cast<int64_t>(every_row_.size()) != rows) {
    every_row_.resize(static_cast<std::size_t>(rows));
    std::iota(every_row_.begin(), every_row_.end(), 0);
    one_slot_.assign(static_cast<std::size_t>(rows), 0);
  }
  for (auto& group : groups_) {
    group.input.resize(rows, group.W_x.columns(), group.W_x.width());
    multiply_steps(x, first_step, group.W_x, &group.b, /*accumulate=*/false, group.input);
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
  carry(memory_.h.values());
  if (has_c(memory_.cell)) {
    carry(memory_.c);
  }
}

bool Recurrence::split_by_sequences() const {
  // Split by sequences, each thread reads all weights in every step; split by units, only those of
  // its units, but every step has barriers. Reading costs more than barriers where a thread has few
  // sequences, or where the weights do not fit in a second-level cache: by units, an LSTM of 512
  // units on two threads is 1.2 times as fast in float32, 1.4 times in bf16 (unroll bench
  // --cell lstm --threads 2). By units also needs steps that are worth their barriers, and units
  // for all threads. A tile is not divided.
  constexpr int64_t kSequencesAThread = 8;
  constexpr int64_t kWorthABarrier = 4 * kWorthAThread;
  constexpr int64_t kCachedBytes = int64_t{5} << 18;
  const int64_t threads = thread_count();
  int64_t weights = 0;
  for (const auto& group : groups_) {
    weights += hidden_ * group.gates.columns();
  }
  if (threads == 1 || batch_size_ * weights < kWorthABarrier) {
    return true;
  }
  const int64_t least = std::max(kSequencesAThread, sequences_at_once(parts_));
  const int64_t bytes = weights * (parts_ == 0 ? 4 : 2 * parts_);
  const bool units_for_all = (hidden_ + kPanel - 1) / kPanel >= threads;
  return batch_size_ >= least * threads && (bytes <= kCachedBytes || !units_for_all);
}

template <typename Phase>
void Recurrence::run_steps(bool backward, const Phase& run) const {
  const auto step = [&](int64_t n) { return backward ? steps_ - 1 - n : n; };
  const auto weights = [&](std::size_t phase) -> const Weights& {
    return backward ? groups_[phase].W_h_t : groups_[phase].W_h;
  };
  if (split_by_sequences()) {
    const int64_t at_once = sequences_at_once(parts_);
    const int64_t cost = hidden_ * groups_[0].gates.columns() * steps_ * at_once;
    parallel_for(0, (batch_size_ + at_once - 1) / at_once, grain(cost),
                 [&](int64_t first, int64_t last) {
                   const TileScope scope(parts_);
                   const int64_t b_end = std::min(last * at_once, batch_size_);
                   for (int64_t n = 0; n < steps_; ++n) {
                     for (std::size_t phase = 0; phase < groups_.size(); ++phase) {
                       run(phase, step(n), first * at_once, b_end, 0, weights(phase).panels());
                     }
                   }
                 });
    return;
  }
  for (int64_t n = 0; n < steps_; ++n) {
    for (std::size_t phase = 0; phase < groups_.size(); ++phase) {
      const auto& W = weights(phase);
      parallel_for(0, W.panels(), grain(batch_size_ * W.rows() * W.width()),
                   [&](int64_t first, int64_t last) {
                     const TileScope scope(parts_);
                     run(phase, step(n), 0, batch_size_, first, last);
                   });
    }
  }
}

void Recurrence::forward() {
  run_steps(/*backward=*/false, [&](auto... where) { forward_phase(where...); });
}

void Recurrence::forward_phase(std::size_t phase, int64_t t, int64_t b_begin, int64_t b_end,
                               int64_t p_begin, int64_t p_end) {
  alignas(64) float sums[kRowsOfSums * kPanel];
  const auto& group = groups_[phase];
  const bool single = group.gates.count == 1;
  const StepTerm term{&left(phase), t, &group.W_h};
  const auto formulas = [&](const CellTile& tile) { forward_cell(tile); };
  WorkInTurns turns(memory_.cell, parts_, sums, formulas);
  for (int64_t p = p_begin; p < p_end; ++p) {
    for (int64_t b = b_begin; b < b_end; b += turns.rows()) {
      const int64_t rows = std::min(turns.rows(), b_end - b);
      turns.add({&term, 1}, p, /*accumulate=*/false,
                {.sums = turns.sums(),
                 .stride = kPanel,
                 .time = t,
                 .batch_size = batch_size_,
                 .row = b,
                 .rows = rows,
                 .block = single ? p * (kPanel / kBlock) : p,
                 .blocks = single ? group.W_h.panel_columns(p) / kBlock : 1,
                 .phase = static_cast<int>(phase)});
    }
  }
  turns.end();
}

void Recurrence::forward_cell(const CellTile& tile) {
  const CellInput x{&groups_[tile.phase].input,
                    x_ == nullptr ? tokens_->slot.data() : every_row_.data()};
  switch (memory_.cell) {
    case CellKind::kRnn:
    case CellKind::kRnnRelu:
      return rnn_forward(tile, x, memory_);
    case CellKind::kLstm:
      return lstm_forward(tile, x, memory_);
    case CellKind::kGruAfter:
    case CellKind::kGruBefore:
      return gru_forward(tile, x, memory_);
  }
}

void Recurrence::copy_state(float* h, float* c) const {
  copy_step_out(memory_.h, steps_, h);
  if (has_c(memory_.cell)) {
    copy_rows_out(memory_.c, steps_ * batch_size_, batch_size_, hidden_, c);
  }
}

Panels& Recurrence::outside_gradient() {
  outside_left_ = nullptr;
  memory_.dh.resize(steps_ * batch_size_, hidden_);
  return memory_.dh;
}

void Recurrence::set_outside_gradient(const Activations& left, const Weights& right) {
  memory_.dh = Panels();
  outside_left_ = &left;
  outside_right_ = &right;
}

void Recurrence::set_state_gradient(const float* dh, const float* dc) {
  copy_rows_in(dh, batch_size_, hidden_, dh_last_);
  if (!is_simple(memory_.cell)) {
    copy_rows_in(dc, batch_size_, hidden_, memory_.carry);
  }
}

void Recurrence::backward() {
  run_steps(/*backward=*/true, [&](auto... where) { backward_phase(where...); });
}

void Recurrence::backward_phase(std::size_t phase, int64_t t, int64_t b_begin, int64_t b_end,
                                int64_t p_begin, int64_t p_end) {
  alignas(64) float sums[kRowsOfSums * kPanel];
  // The first phase starts from the next step's gradient; the second continues within the step.
  const bool last = phase == 0 && t == steps_ - 1;
  StepTerm terms[2];
  std::size_t count = 0;
  if (!last) {
    terms[count++] = {&dz(phase), phase == 0 ? t + 1 : t, &groups_[phase].W_h_t};
  }
  if (phase == 0 && outside_left_ != nullptr) {
    terms[count++] = {outside_left_, t, outside_right_};
  }
  const auto formulas = [&](const CellTile& tile) { backward_cell(tile); };
  WorkInTurns turns(memory_.cell, parts_, sums, formulas);
  for (int64_t p = p_begin; p < p_end; ++p) {
    for (int64_t b = b_begin; b < b_end; b += turns.rows()) {
      const int64_t rows = std::min(turns.rows(), b_end - b);
      const float* from = turns.sums();
      if (last) {
        from = dh_last_.at(b, p * kPanel);
        if (count > 0) {
          std::copy_n(from, rows * kPanel, turns.sums());
          from = turns.sums();
        }
      }
      turns.add({terms, count}, p, /*accumulate=*/last,
                {.sums = from,
                 .stride = kPanel,
                 .time = t,
                 .batch_size = batch_size_,
                 .row = b,
                 .rows = rows,
                 .block = p * (kPanel / kBlock),
                 .blocks = dh_last_.panel_columns(p) / kBlock,
                 .phase = static_cast<int>(phase)});
    }
  }
  turns.end();
}

void Recurrence::backward_cell(const CellTile& tile) {
  switch (memory_.cell) {
    case CellKind::kRnn:
    case CellKind::kRnnRelu:
      return rnn_backward(tile, memory_);
    case CellKind::kLstm:
      return lstm_backward(tile, memory_);
    case CellKind::kGruAfter:
    case CellKind::kGruBefore:
      return gru_backward(tile, memory_);
  }
}

void Recurrence::recurrent_gradients(const LayerParameters& gradients,
                                     std::vector<GradientTerm> also) const {
  for (std::size_t phase = groups_.size(); phase-- > 0;) {
    const auto& group = groups_[phase];
    GradientTerm own{.dz = &dz(phase), .first_step = 0, .gates = group.gates, .gradients = {}};
    for (const int64_t member : group.members) {
      own.gradients.push_back(&gradients.gates[member].W_h);
    }
    // The states are multiplied in the first phase, and outside the recurrence.
    std::vector<GradientTerm> terms{std::move(own)};
    if (phase == 0) {
      terms.insert(terms.end(), also.begin(), also.end());
    }
    weight_gradients(left(phase), terms);
  }
}

std::vector<GradientTerm> Recurrence::input_terms(const LayerParameters& gradients) const {
  std::vector<GradientTerm> terms;
  for (const auto& part : parts_of_input_) {
    GradientTerm term{
        .dz = part.dz, .first_step = x_first_step_, .gates = part.gates, .gradients = {}};
    for (const int64_t member : part.members) {
      term.gradients.push_back(member < 0 ? nullptr : &gradients.gates[member].W_x);
    }
    terms.push_back(std::move(term));
  }
  return terms;
}

void Recurrence::summed_gradients(const LayerParameters& gradients) {
  const auto& slots = tokens_ == nullptr ? one_slot_ : tokens_->slot;
  const int64_t slot_count = tokens_ == nullptr ? 1 : static_cast<int64_t>(tokens_->tokens.size());
  // One block of a gate's units: its biases' gradients and its columns of the tokens' rows of W_x.
  const auto hand_out = [&](const InputPart& part, int64_t column) {
    const int64_t block = column / kBlock;
    const int64_t member = part.members[block % part.gates.count];
    const int64_t unit = block / part.gates.count * kBlock;
    const int64_t units = std::min(kBlock, hidden_ - unit);
    float total[kBlock] = {};
    for (int64_t s = 0; s < slot_count; ++s) {
      const float* sums = part.sums.at(s, column);
      for (int64_t j = 0; j < kBlock; ++j) {
        total[j] += sums[j];
      }
      if (tokens_ != nullptr && member >= 0) {
        const auto& W_x = gradients.gates[member].W_x;
        float* const to = &W_x(tokens_->tokens[s], unit);
        if (W_x.column_stride == 1) {
          std::copy_n(sums, units, to);
        } else {
          for (int64_t j = 0; j < units; ++j) {
            to[j * W_x.column_stride] = sums[j];
          }
        }
      }
    }
    if (member < 0) {
      std::copy_n(total, units, gradients.b_hh + unit);
      return;
    }
    const auto& gate = gradients.gates[member];
    std::copy_n(total, units, gate.b + unit);
    if (gate.b_again != nullptr) {
      std::copy_n(total, units, gate.b_again + unit);
    }
  };
  for (auto& part : parts_of_input_) {
    auto& sums = part.sums;
    sums.resize(slot_count, part.gates.columns(), part.gates.width());
    parallel_for(0, sums.panels(), grain(steps_ * batch_size_ * sums.width()),
                 [&](int64_t first, int64_t last) {
                   for (int64_t p = first; p < last; ++p) {
                     sum_rows(*part.dz, slots.data(), p, sums);
                     for (int64_t c = 0; c < sums.panel_columns(p); c += kBlock) {
                       hand_out(part, p * sums.width() + c);
                     }
                   }
                 });
  }
}

void Recurrence::input_gradient(Panels& dx) const {
  dx.resize(steps_ * batch_size_, inputs_);
  for (std::size_t k = 0; k < parts_of_input_.size(); ++k) {
    multiply_steps(*parts_of_input_[k].dz, 0, parts_of_input_[k].W_x_t, nullptr, k > 0, dx);
  }
}

void Recurrence::state_gradient(float* dh, float* dc) const {
  Panels result;
  result.resize(batch_size_, hidden_);
  multiply_steps(dz(0), 0, groups_[0].W_h_t, nullptr, /*accumulate=*/false, result);
  copy_rows_out(result, 0, batch_size_, hidden_, dh);
  if (has_c(memory_.cell)) {
    copy_rows_out(memory_.carry, 0, batch_size_, hidden_, dc);
  } else if (!is_simple(memory_.cell)) {
    std::vector<float> past(static_cast<std::size_t>(batch_size_ * hidden_));
    copy_rows_out(memory_.carry, 0, batch_size_, hidden_, past.data());
    for (std::size_t i = 0; i < past.size(); ++i) {
      dh[i] += past[i];
    }
  }
}

}  // namespace unroll::cpu
