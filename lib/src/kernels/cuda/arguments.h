#pragma once

#include <cstdint>

namespace unroll::cuda {

/// Memory through which blocks that are no cluster exchange values of the same sequences: (groups,
/// 2, depth, S) floats and a count of arrivals for each group, zeros at first.
struct ExchangeMemory {
  float* values = nullptr;
  unsigned* arrivals = nullptr;
};

/// All time steps of one layer. Matrices are row-major float32; time step t of sequence b is row
/// t*B + b; G is gate_count.
struct ForwardArguments {
  int64_t steps;          // T
  int64_t batch_size;     // B
  int64_t hidden;         // H
  const float* x;         // (R, GH): the inputs' share in the gates, X_t W_x + b
  const int64_t* row;     // (T*B): which row of x, or null: row t*B + b
  const float* W_h;       // (H, GH)
  const float* b_hh;      // (H): GRU with the reset after the product; else null
  const float* h_before;  // (B, H): the state before the first step
  const float* c_before;  // (B, H): LSTM; else null
  float* h;               // (T*B, H): the states
  float* c;               // (T*B, H): LSTM
  float* gates;           // (T*B, GH): their values; null for a cell with one gate
  float* p;               // (T*B, H): GRU with the reset after the product: what is reset
  ExchangeMemory exchange;
};

/// What forward computed, and where its gradients go.
struct BackwardArguments {
  int64_t steps;
  int64_t batch_size;
  int64_t hidden;
  const float* W_h_t;  // (GH, H): W_h transposed
  const float* h_before;
  const float* c_before;
  const float* h;
  const float* c;
  const float* gates;
  const float* p;
  const float* dh;        // (T*B, H): gradient by the states, from outside the recurrence
  const float* dh_after;  // (B, H): by the state after the last step, or null for zeros
  const float* dc_after;  // likewise; LSTM
  float* dz;              // (T*B, GH): by the inputs' share in the gates
  float* dp;              // (T*B, H): GRU with the reset after: by p
  float* dh_before;       // (B, H): by the state before the first step, or null if not wanted
  float* dc_before;       // likewise; LSTM
  ExchangeMemory exchange;
};

/// A continuation: T steps of a model of one layer. Each step but the first reads the likeliest
/// token of the step before, or a given one. Nothing is kept for a way back.
struct GenerateArguments {
  int64_t steps;          // T
  int64_t batch_size;     // B
  int64_t hidden;         // H
  int64_t vocab_size;     // V
  const float* x;         // (V, GH): each token's share in the gates
  const float* W_h;       // (H, GH)
  const float* b_hh;      // (H): GRU with the reset after the product; else null
  const float* W_hq;      // (H, V)
  const float* b_q;       // (V)
  const int64_t* fed;     // (T, B): a step's token; -1, not at the first step: the likeliest
  int64_t never;          // a token that is not taken, or -1
  const float* h_before;  // (B, H): the state before the first step
  const float* c_before;  // (B, H): LSTM; else null
  float* h_after;         // (B, H): the state after the last step
  float* c_after;         // (B, H): LSTM
  // (T, B): the likeliest token after each step, of equals the first; -1 where there is none (all
  // logits are -infinity or NaN). After a step where all of a group are fed next: undefined.
  int64_t* taken;
  ExchangeMemory exchange;
};

}  // namespace unroll::cuda
