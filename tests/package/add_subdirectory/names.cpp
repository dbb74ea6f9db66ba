// unroll's names beside torch's, as in programs that use both namespaces whole. docs/models.md
// lists those that are torch's too, and want `unroll::`.
#include <torch/nn/module.h>
#include <torch/types.h>

#include "unroll/unroll.h"

using namespace torch;   // NOLINT
using namespace unroll;  // NOLINT

// Lists in braces mean one thing each; fields may be left out.
std::string continued(SequenceModel& net, const Corpus& corpus) {
  const Vocab vocab({{"a", "b"}, {"a"}});
  const auto indices = vocab[{"a", "b"}];
  const auto texts = predict_ch8({"a", "b"}, 10, net, corpus.vocab);
  return texts.at(static_cast<std::size_t>(indices.at(0) - 1)) + predict_ch8("a", 10, net, vocab);
}

TrainResult trained(const Corpus& corpus) {
  const SeqDataLoader train_iter(corpus.indices, {.batch_size = 2});
  const auto net = make_model({.cell = Cell::kGru}, corpus.vocab.size(), kCPU, {});
  const TrainCallbacks callbacks{.on_epoch = [](const EpochStats&) {}};
  return train_ch8(*net, train_iter, corpus.vocab, {.updater = {.lr = 1}}, callbacks);
}

RNNModelScratch scratch(int64_t V) {
  return RNNModelScratch(V, 8, kCPU, get_params, init_rnn_state, rnn);
}

// Every type by its name alone.
template <typename... Types>
struct Named {};
using All =
    Named<Accumulator, Animator, Batch, BatchFn, BenchOptions, BenchRow, Best, Cell, Checkpoint,
          CheckpointFiles, CompareCallbacks, ComparedModel, CompareOptions, Comparison, Compute,
          Configuration, CopiedSpan, CopiedSpanFinder, Corpus, CorpusOptions, DataOptions, Decoder,
          Differences, Diverged, Epoch, EpochStats, EvaluateOptions, Evaluation, FallbackCallback,
          Field, ForwardFn, FusedGRU, FusedGRUImpl, FusedLSTM, FusedLSTMImpl, FusedRNN,
          FusedRNNImpl, GenerateOptions, GetParams, GradientCallback, GraphMode, GruReset,
          Inference, InitState, InvalidUtf8Error, KernelSettings, LineCutter, LossFn, MakeOptimizer,
          ModelConfig, ModelKind, ModelSetup, NamedTensor, NamedTensors, Normalize, OnNonfinite,
          OptionRange, PlotOptions, Precision, RankBackend, RankLost, Ranks, RanksOptions,
          ReadCallback, ReadProgress, ReproduceCallbacks, ReproduceOptions, Reproduction, Request,
          RNNModel, RNNModelScratch, SafeTensors, Sampling, Schedule, ScheduleOptions,
          SeqDataLoader, SequenceModel, Spread, State, StepOptions, StepSeconds, StudiedTraining,
          Sums, SurpriseCallback, TextCallback, TextFingerprint, TextOptions, Timer, TokenCallback,
          TokenHash, Tokenizer, TokenKind, Training, TrainCallbacks, TrainOptions, TrainProgress,
          TrainRecord, TrainResult, TrainState, TrainStep, UnknownTokens, unroll::Backend,
          unroll::Error, unroll::Optimizer, Updater, UpdaterOptions, UsageError, Verdict, Vocab>;
