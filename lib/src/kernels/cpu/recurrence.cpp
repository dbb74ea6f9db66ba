#include "kernels/cpu/recurrence.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "kernels/cpu/machine/parallel.h"
#include "kernels/cpu/matrices/product.h"
#include "kernels/cpu/matrices/rows.h"
#include "kernels/cpu/work_in_turns.h"

namespace unroll::cpu {

Recurrence::Recurrence(CellKind cell, int64_t hidden, int parts)
    : hidden_(hidden), parts_(parts), groups_(gate_groups(cell, hidden)), memory_{.cell = cell} {
  if (cell == CellKind::kGruAfter) {
    input_gradients_.emplace_back(std::vector<int64_t>{0, 1, -1}, hidden, memory_.gates);
    input_gradients_.emplace_back(std::vector<int64_t>{2}, hidden, memory_.n);
    return;
  }
  for (std::size_t phase = 0; phase < groups_.size(); ++phase) {
    input_gradients_.emplace_back(groups_[phase].members(), hidden, dz(phase));
  }
}

void Recurrence::pack(const LayerParameters& parameters, int64_t inputs, bool with_backward) {
  inputs_ = inputs;
  for (auto& group : groups_) {
    group.pack(parameters, inputs, parts_, with_backward);
  }
  if (inputs > 0 && with_backward) {
    for (auto& gradient : input_gradients_) {
      gradient.pack(parameters, inputs, parts_);
    }
  }
  if (table_of(memory_.cell).has_b_hh) {
    memory_.b_hh.resize(1, hidden_);
    copy_rows_in(parameters.b_hh, 0, 1, hidden_, memory_.b_hh);
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
  const auto& gates = groups_.front().gates();
  memory_.gates.resize(steps, batch_size, gates.columns(), gates.width(), gradients);
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
    copy_rows_in(c, 0, batch_size_, hidden_, memory_.c);
  }
}

void Recurrence::set_input(const TokenRows& rows, const LayerParameters& parameters) {
  tokens_ = &rows;
  x_ = nullptr;
  for (auto& group : groups_) {
    group.set_input(rows, parameters);
  }
}

void Recurrence::set_input(const Activations& x, int64_t first_step) {
  x_ = &x;
  x_first_step_ = first_step;
  tokens_ = nullptr;
  const auto rows = static_cast<std::size_t>(steps_ * batch_size_);
  if (every_row_.size() != rows) {
    every_row_.resize(rows);
    std::iota(every_row_.begin(), every_row_.end(), 0);
  }
  for (auto& group : groups_) {
    group.set_input(x, first_step, steps_);
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

StepLoop Recurrence::step_loop(bool backward) const {
  StepLoop loop{.steps = steps_, .batch_size = batch_size_, .backward = backward};
  for (const auto& group : groups_) {
    loop.weights.push_back(backward ? &group.transposed_weights() : &group.recurrent_weights());
  }
  return loop;
}

void Recurrence::forward(float* outputs) {
  outputs_ = outputs;
  run_steps(step_loop(/*backward=*/false), [&](const StepPart& part) { forward_part(part); });
}

void Recurrence::forward_part(const StepPart& part) {
  const auto& group = groups_[part.phase];
  const int64_t width_of_block = group.gates().width_of_block();
  const StepTerm term{&left(part.phase), part.t, &group.recurrent_weights()};
  const auto formulas = [&](const CellTile& tile) { forward_cell(tile); };
  WorkInTurns turns(memory_.cell, parts_, formulas);
  const int64_t rows_of_part = turns.rows_of_part(part.b_end - part.b_begin);
  for (int64_t p = part.p_begin; p < part.p_end; ++p) {
    for (int64_t b = part.b_begin; b < part.b_end; b += rows_of_part) {
      const int64_t rows = std::min(rows_of_part, part.b_end - b);
      turns.add({&term, 1}, p, /*accumulate=*/false,
                {.sums = turns.sums(),
                 .stride = kPanel,
                 .time = part.t,
                 .batch_size = batch_size_,
                 .row = b,
                 .rows = rows,
                 .block = p * (group.recurrent_weights().width() / width_of_block),
                 .blocks = group.recurrent_weights().panel_columns(p) / width_of_block,
                 .phase = static_cast<int>(part.phase)},
                part.panel_to_prefetch(p, b + rows));
    }
  }
  turns.end();
}

void Recurrence::forward_cell(const CellTile& tile) {
  const CellInput x{&groups_[tile.phase].input(),
                    x_ == nullptr ? tokens_->slot.data() : every_row_.data()};
  switch (memory_.cell) {
    case CellKind::kRnn:
    case CellKind::kRnnRelu:
      rnn_forward(tile, x, memory_);
      break;
    case CellKind::kLstm:
      lstm_forward(tile, x, memory_);
      break;
    case CellKind::kGruAfter:
    case CellKind::kGruBefore:
      gru_forward(tile, x, memory_);
      break;
  }
  // While they are in a core's own cache
  if (outputs_ != nullptr && tile.phase + 1 == std::ssize(groups_)) {
    copy_part_out(memory_.h, tile.time + 1,
                  {.row = tile.row,
                   .rows = tile.rows,
                   .column = tile.block * kBlock,
                   .columns = tile.blocks * kBlock},
                  outputs_ + tile.time * batch_size_ * hidden_);
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
  dh_.resize(steps_ * batch_size_, hidden_);
  memory_.dh = BlockedView(dh_);
  return dh_;
}

void Recurrence::set_outside_gradient(const float* dh) {
  outside_left_ = nullptr;
  memory_.dh = {};
  if (dh != nullptr && BlockedView::can_read(dh, hidden_)) {
    memory_.dh = BlockedView(dh, hidden_);
  } else if (dh != nullptr) {
    auto& to = outside_gradient();
    parallel_for(0, steps_, grain(kCopying * batch_size_ * hidden_), [&](int64_t t, int64_t end) {
      const int64_t row = t * batch_size_;
      copy_rows_in(dh + row * hidden_, row, (end - t) * batch_size_, hidden_, to);
    });
  }
}

void Recurrence::set_outside_gradient(const Activations& left, const Weights& right) {
  memory_.dh = {};
  outside_left_ = &left;
  outside_right_ = &right;
}

void Recurrence::set_state_gradient(const float* dh, const float* dc) {
  copy_rows_in(dh, 0, batch_size_, hidden_, dh_last_);
  if (!is_simple(memory_.cell)) {
    copy_rows_in(dc, 0, batch_size_, hidden_, memory_.carry);
  }
}

void Recurrence::backward() {
  run_steps(step_loop(/*backward=*/true), [&](const StepPart& part) { backward_part(part); });
}

void Recurrence::backward_part(const StepPart& part) {
  // The first phase starts from the next step's gradient; the second continues within the step.
  const bool last = part.phase == 0 && part.t == steps_ - 1;
  StepTerm terms[2];
  std::size_t count = 0;
  if (!last) {
    const int64_t from = part.phase == 0 ? part.t + 1 : part.t;
    terms[count++] = {&dz(part.phase), from, &groups_[part.phase].transposed_weights()};
  }
  if (part.phase == 0 && outside_left_ != nullptr) {
    terms[count++] = {outside_left_, part.t, outside_right_};
  }
  const auto formulas = [&](const CellTile& tile) { backward_cell(tile); };
  WorkInTurns turns(memory_.cell, parts_, formulas);
  const int64_t rows_of_part = turns.rows_of_part(part.b_end - part.b_begin);
  for (int64_t p = part.p_begin; p < part.p_end; ++p) {
    for (int64_t b = part.b_begin; b < part.b_end; b += rows_of_part) {
      const int64_t rows = std::min(rows_of_part, part.b_end - b);
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
                 .time = part.t,
                 .batch_size = batch_size_,
                 .row = b,
                 .rows = rows,
                 .block = p * (kPanel / kBlock),
                 .blocks = dh_last_.panel_columns(p) / kBlock,
                 .phase = static_cast<int>(part.phase)},
                part.panel_to_prefetch(p, b + rows));
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
    GradientTerm own{.dz = &dz(phase), .first_step = 0, .gates = group.gates(), .gradients = {}};
    for (const int64_t member : group.members()) {
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
  terms.reserve(input_gradients_.size());
  for (const auto& gradient : input_gradients_) {
    terms.push_back(gradient.term(x_first_step_, gradients));
  }
  return terms;
}

void Recurrence::summed_gradients(const LayerParameters& gradients) {
  for (auto& gradient : input_gradients_) {
    gradient.sum(tokens_, gradients);
  }
}

void Recurrence::input_gradient(Panels& dx) const {
  dx.resize(steps_ * batch_size_, inputs_);
  for (std::size_t k = 0; k < input_gradients_.size(); ++k) {
    input_gradients_[k].by_input(dx, /*accumulate=*/k > 0);
  }
}

void Recurrence::state_gradient(float* dh, float* dc) const {
  Panels result;
  result.resize(batch_size_, hidden_);
  multiply_steps(dz(0), 0, groups_[0].transposed_weights(), nullptr, /*accumulate=*/false, result);
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
