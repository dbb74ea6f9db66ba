#pragma once

#include <cstdint>

namespace unroll::cuda {

/// Memory through which blocks that are no cluster exchange values of the same sequences: (groups,
/// 2, depth, S) words of 4 bytes, whatever they are, and a count of arrivals for each group, 0
/// before and after.
struct ExchangeMemory {
  uint32_t* words = nullptr;
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
  // (T*B, H): GRU: what is reset, if after the product; else the state that was, before it
  float* p;
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

// What follows is work without steps that wait for each other. Blocks are as many as there is work
// for; `arrivals` is a count that is 0 before and after.

/// A batch that is cut from a corpus of tokens of 1, 4 or 8 bytes, as they are stored.
struct BatchArguments {
  const void* corpus;
  int token_bytes;
  const int64_t* starts;  // (batches, B): where each row begins in the corpus
  int64_t* position;      // which batch; the next one after the kernel
  int64_t rows;           // B
  int64_t tokens;         // of a row, T + 1
  int64_t* batch;         // (T + 1, B)
  unsigned* arrivals;
};

/// A matrix that is copied, perhaps transposed: to[r][c] = from[r][c] + add[c] + add_again[c].
struct MatrixCopy {
  const float* from;
  const float* add;        // or null
  const float* add_again;  // or null
  float* to;
  int64_t rows;
  int64_t columns;
  int64_t from_row;     // floats from one row of `from` to the next,
  int64_t from_column;  // and from one column to the next
  int64_t to_row;       // of `to`, whose columns are neighbours
};

/// Some at once.
constexpr int kCopiesAtOnce = 24;
struct CopyArguments {
  int count;
  MatrixCopy copies[kCopiesAtOnce];
};

/// Gradients of rows that were looked up by tokens, and of what was added to each; and the sums of
/// the columns of another matrix.
struct TokenSumsArguments {
  int64_t rows;          // R
  int64_t columns;       // C
  int64_t vocab_size;    // V
  const int64_t* token;  // (R): of each row
  const float* dz;       // (R, C): gradient by the rows
  float* dx;             // (V, C): by the table that they were looked up in
  float* db;             // (C): the sum of all rows
  int64_t other_columns;
  const float* other;  // (R, other_columns), or null
  float* other_sum;    // (other_columns)
};

/// The output layer of a model, its cross-entropy and the gradients. Labels of -100 are left out;
/// others outside 0 ... V-1 make the loss NaN.
struct OutputArguments {
  int64_t rows;  // R
  int64_t hidden;
  int64_t vocab_size;
  const float* h;  // (R, H)
  const float* W_hq;
  int64_t W_row;          // floats from a unit of W_hq to the next,
  int64_t W_column;       // and from a token to the next
  const float* b_q;       // (V)
  const int64_t* labels;  // (R)
  float* loss;            // the mean over the labels
  // The gradients; all null where none are wanted.
  float* dlogits;     // (R, V)
  float* dh;          // (R, H)
  float* db_q;        // (V)
  double* losses;     // (blocks): sums
  float* db_q_parts;  // (blocks, V)
  unsigned* arrivals;
};

/// Tensors of one launch; more of them take several.
constexpr int kTensorsAtOnce = 48;

/// The norm of gradients, and what a step comes to: after the last launch the sums have grown.
struct NormArguments {
  int tensors;
  const float* gradients[kTensorsAtOnce];
  int64_t sizes[kTensorsAtOnce];
  double* squares;  // a sum of squares for each block of each launch
  int first;        // this launch's first of them
  int all;          // how many there are with this launch's; 0: another launch follows
  float clip;       // bound on the norm; 0: none
  const float* loss;
  double tokens;       // what the loss is the mean of
  bool stops;          // after a step that is not finite: the sums become NaN, all is skipped
  double* loss_sum;    // grows by the loss times the tokens
  double* norm_sum;    // grows by the norm
  int64_t* nonfinite;  // counts the steps that are not finite
  float* scale;        // what gradients are to be multiplied by
  float* skip;         // 1 where the step is to be left out, else 0
  unsigned* arrivals;
};

/// A state that is carried on: `after`, or `begin` where the step is skipped and it is not null.
struct StateCopy {
  const float* after;
  const float* begin;
  float* to;
};
constexpr int kMostStates = 2;

/// How weights follow from their gradients g.
enum class UpdateRule {
  kSgd,   ///< p -= lr m, with m = momentum m + g
  kAdam,  ///< weight decay is added to the gradient
  kAdamW  ///< weight decay is taken off the weight
};

/// An update, unless it is skipped.
struct UpdateArguments {
  int tensors;
  float* weights[kTensorsAtOnce];
  const float* gradients[kTensorsAtOnce];
  float* means[kTensorsAtOnce];    // SGD: m, null without momentum; Adam: mean of gradients
  float* squares[kTensorsAtOnce];  // Adam: mean of their squares
  float* steps[kTensorsAtOnce];    // Adam: steps before this one; then it is counted, too
  int64_t sizes[kTensorsAtOnce];
  const float* scale;  // of the gradients
  const float* skip;   // 1: change nothing
  const float* lr;
  float weight_decay;
  float momentum;
  double beta1;
  double beta2;
  float epsilon;
  int states;
  StateCopy carry[kMostStates];
  int64_t state_sizes[kMostStates];
  unsigned* arrivals;
};

}  // namespace unroll::cuda
