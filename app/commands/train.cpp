#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <exception>
#include <optional>
#include <string>

#include "base/formatted.h"
#include "cli/display.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/options.h"
#include "cli/saver.h"
#include "cli/train_request.h"
#include "cli/train_texts.h"
#include "commands/commands.h"
#include "study/report.h"
#include "study/train_log.h"
#include "unroll/checkpoint.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/fused.h"
#include "unroll/tensors.h"

namespace unroll::app {
namespace {

// Takes the place where the training is to be saved, if it is.
std::optional<Saver> make_saver(const Options& options, const TrainRecord& record,
                                const std::optional<Checkpoint>& resumed, Display& display) {
  const auto path = save_path(options);
  if (path.empty()) {
    return std::nullopt;
  }
  check(record);
  const auto interval =
      options.has("save-every") ? parse_save_interval(options.text("save-every")) : SaveInterval{};
  Saver saver(path, options.integer("keep"), interval, display.progress());
  if (resumed) {
    saver.set_last(options.path("resume"), *resumed);
  }
  return saver;
}

// Puts the training where the checkpoint stands.
void go_on(Training& training, SequenceModel& net, const Checkpoint& resumed,
           const std::string& path, Display& display) {
  const auto& record = *resumed.training;
  try {
    load_weights(net, resumed.weights);
    training.load_state(record.state);
  } catch (const Error& error) {
    throw Error(formatted("{}: its training cannot go on: {}", path, error.what()));
  }
  display.show(record.state.history);
  if (record.build != build_of_this()) {
    display.warn(formatted("{} was computed by {}, this is {}: the last digits may differ", path,
                           record.build, build_of_this()));
  }
}

// A log that cannot be written is not worth the training: one line tells, and a resumed training
// writes it anew.
template <typename Write>
void attempt(std::optional<TrainLog>& log, Display& display, const Write& write) {
  if (!log) {
    return;
  }
  try {
    write(*log);
  } catch (const Error& error) {
    display.warn(formatted("{}; the training goes on without it", error.what()));
    log.reset();
  }
}

// Calls whatever is to be done as training goes on.
TrainCallbacks make_callbacks(const Training& training, bool validates, Display& display,
                              std::optional<TrainLog>& log, std::optional<Saver>& saver) {
  TrainCallbacks callbacks;
  callbacks.on_batch = [&](const TrainProgress& at, int64_t batches) {
    if (is_interrupted()) {
      auto message = interruption(at);
      if (saver) {
        saver->save();
        message += formatted("; unroll train --resume {} goes on", saver->path());
      }
      throw Interrupted(message);
    }
    if (saver) {
      saver->after_batch();
    }
    display.show(at, batches);
  };
  callbacks.on_epoch = [&](const EpochStats& stats) {
    attempt(log, display, [&](TrainLog& file) { file.write(stats); });
    display.show(stats);
  };
  callbacks.on_prediction = [&](const EpochStats&, const std::string& text) { display.show(text); };
  callbacks.on_graph_fallback = [&](const std::string& reason) {
    display.warn(without_graph(reason));
  };
  if (saver) {
    callbacks.on_epoch_end = [&, validates](const EpochStats& stats) {
      if (validates && training.best().epoch == stats.epoch) {
        saver->save_best();
      }
      saver->after_epoch(stats);
    };
  }
  return callbacks;
}

TrainResult run(Training& training, const TrainCallbacks& callbacks,
                const std::optional<Saver>& saver) {
  try {
    return training.run(callbacks);
  } catch (const Diverged& error) {
    throw Error(saver ? formatted("{}; {}", error.what(), saver->last()) : error.what());
  }
}

// Saves and shows the result: saved first, as nobody may be there to read, and shown in any case.
void conclude(std::optional<Saver>& saver, Display& display, const TrainReport& report) {
  std::exception_ptr unsaved;
  try {
    if (saver) {
      saver->save_last();
    }
  } catch (const Error&) {
    unsaved = std::current_exception();
  }
  display.show(report);
  if (unsaved) {
    std::rethrow_exception(unsaved);
  }
}

}  // namespace

void train(int argc, const char* const* argv) {
  auto options = declare_train_options();
  if (!options.parse(argc, argv)) {
    return;
  }
  auto resumed = load_resumed(options);
  // What the request alone shows to be wrong, before any other file or device is touched.
  auto request = read_train_request(options);
  auto record = make_record(options, request);
  check_machine_options(options);
  check_output_options(options);
  if (resumed) {
    check_resumable(*resumed, request.config, record);
  }

  const auto device = set_up_machine(options);
  require_supported(request.config.precision, device);
  if (!device.is_cuda() && !options.given("graph")) {
    request.training.graph = GraphMode::kAuto;  // that of a training on a GPU, which goes on here
  }
  require_graph(request.training.graph, device);
  Display display(options, request.training);
  if (request.config.model == ModelKind::kFused) {
    request.config.cuda_kernels =
        wants_cuda_kernels(options, request.config.precision, device,
                           [&](const std::string& reason) { display.warn(reason); });
  }
  auto saver = make_saver(options, record, resumed, display);
  if (options.has("plot") && options.path("plot") != "-") {
    check_writable(options.path("plot"));
  }
  const auto texts = load_texts(options, request.text);
  const auto& corpus = texts.corpus;
  if (resumed) {
    require_same_texts(texts, *resumed, options);
  }
  request.training.prompts =
      fit_prompts(options, request.training.prompts, corpus.text.normalize, corpus.vocab);
  record.options.prompts = request.training.prompts;
  record.fingerprint = corpus.fingerprint;
  record.valid_fingerprint = texts.valid_fingerprint;

  const auto train_iter = make_loader(options, texts.train, request.data, device);
  at::manual_seed(request.data.seed);
  const auto net = make_model(request.config, corpus.vocab.size(), device);
  auto computed = request.config;
  computed.precision = precision_of(*net, request.data.batch_size);
  if (computed.precision != request.config.precision) {
    display.warn(formatted("in bf16 {} hidden units find no room on {}: they are computed in fp32",
                           request.config.hidden, device.str()));
  }
  Training training(*net, train_iter, corpus.vocab, request.training, texts.valid);
  if (resumed) {
    go_on(training, *net, *resumed, options.path("resume"), display);
  }
  std::optional<TrainLog> log;
  if (options.has("log")) {  // a new training empties the file: the last thing that can fail
    log.emplace(options.path("log"), training.history());
  }
  if (resumed && saver && texts.valid.defined()) {
    saver->keep_best_of(options.path("resume"), *resumed);
  }
  resumed.reset();
  if (saver) {
    saver->set_source([&] {
      attempt(log, display, [](TrainLog& file) { file.sync(); });
      record.state = training.state();
      return Checkpoint{
          .config = request.config,
          .vocab = corpus.vocab,
          .text = corpus.text,
          .weights = net->weights(),
          .epochs = record.state.progress.epoch,
          .perplexity = training.history().empty() ? 0 : training.history().back().perplexity,
          .training = record};
    });
  }

  catch_interrupts();
  if (saver) {
    outlive_readers();
  }
  const auto callbacks = make_callbacks(training, texts.valid.defined(), display, log, saver);
  conclude(saver, display,
           {.result = run(training, callbacks, saver),
            .config = computed,
            .device = describe(device),
            .vocab_size = corpus.vocab.size(),
            .tokens = corpus.size(),
            .threads = at::get_num_threads()});
}

}  // namespace unroll::app
