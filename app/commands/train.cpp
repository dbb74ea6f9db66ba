#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "cli/attempt.h"
#include "cli/display.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/ranks.h"
#include "cli/report_file.h"
#include "cli/save_interval.h"
#include "cli/saver.h"
#include "cli/texts.h"
#include "cli/train_logs.h"
#include "cli/train_request.h"
#include "cli/train_texts.h"
#include "commands/commands.h"
#include "page/coloured_text.h"
#include "page/inspection.h"
#include "page/page.h"
#include "report/train_report.h"
#include "unroll/checkpoint.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/evaluate.h"

namespace unroll::app {
namespace {

// How the training is computed on this device: what the command line says, and else as it was.
Compute compute_on(torch::Device device, const Options& options, const TrainRecord& record) {
  auto compute = resumed_compute(record, device);
  if (options.given("compute")) {
    compute.backend = record.compute.backend;
  }
  if (options.given("compute") || options.given("precision")) {
    compute.preferred = Backend::kAuto;
  }
  if (options.given("graph")) {
    compute.graph = record.compute.graph;
  }
  return compute;
}

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

// What ranks that train together must have alike.
Likeness likeness_of(const TrainRequest& request, const TrainTexts& texts,
                     const TrainCheckpoints& checkpoints) {
  Likeness likeness;
  likeness.add_fields(request.config);
  likeness.add_fields(request.record.compute);
  likeness.add_fields(request.record.data);
  likeness.add_fields(request.record.options);
  likeness.add(formatted("a text of {} with hash {}", counted(texts.train.size(0), "token"),
                         texts.corpus.fingerprint.hash));
  likeness.add(texts.valid.defined()
                   ? formatted("{} to validate on {}", counted(texts.valid.size(0), "token"),
                               texts.valid_fingerprint.hash)
                   : "no text to validate on");
  for (const auto* checkpoint : {&checkpoints.resumed, &checkpoints.initial}) {
    if (*checkpoint) {
      likeness.add(**checkpoint);
    }
  }
  return likeness;
}

// Reads the texts, and takes into the record what is known of them.
TrainTexts read_texts(const Options& options, TrainRecord& record,
                      const TrainCheckpoints& checkpoints, const std::shared_ptr<Ranks>& ranks) {
  auto texts = load_texts(options, record.corpus, checkpoints, ranks);
  if (checkpoints.resumed) {
    require_same_texts(texts, *checkpoints.resumed, options);
  }
  const auto& corpus = texts.corpus;
  record.options.prompts = fit_prompts(options, record.options.prompts, corpus);
  record.fingerprint = corpus.fingerprint;
  record.valid_fingerprint = texts.valid_fingerprint;
  return texts;
}

// Puts the training where the checkpoint stands.
void load(Training& training, SequenceModel& net, const Checkpoint& resumed,
          const std::string& path) {
  try {
    load_weights(net, resumed.weights);
    training.load_state(resumed.training->state);
  } catch (const Error& error) {
    throw Error(formatted("{}: the training cannot be resumed: {}", path, error.what()));
  }
}

// What is known of the training so far, and what may surprise.
void show_resumed(const Checkpoint& resumed, const Options& options, const Training& training,
                  const TrainOptions& asked, Display& display) {
  const auto& record = *resumed.training;
  display.show(record.state.history);
  if (record.build != build_of_this()) {
    display.warn(formatted("{} was computed by {}, this is {}: the last digits may differ",
                           options.path("resume"), record.build, build_of_this()));
  }
  if (training.is_finished()) {
    display.note(explain_finished(options, asked, record.state));
  }
}

// Calls whatever is to be done as training continues.
TrainCallbacks make_callbacks(const Training& training, Ranks& ranks, bool validates,
                              Display& display, TrainLogs& logs, std::optional<Saver>& saver) {
  TrainCallbacks callbacks;
  callbacks.on_batch = [&](const TrainProgress& at, int64_t batches) {
    auto asked = ranks.take_asked();
    if (asked == Request::kNone) {
      ranks.ask(is_interrupted()           ? Request::kStop
                : saver && saver->is_due() ? Request::kSave
                                           : Request::kNone);
      asked = ranks.take_asked();  // what a process alone asks itself
    }
    if (asked != Request::kNone && !saver) {
      training.state();  // the rank that saves needs a part of it from each
    }
    if (asked == Request::kStop) {
      auto message = interruption(at);
      if (saver) {
        saver->save();
        message += formatted("; to continue: unroll train --resume {}", saver->path());
      }
      throw Interrupted(message);
    }
    if (asked == Request::kSave && saver) {
      saver->save_while_training();
    }
    display.show(at, batches);
  };
  callbacks.on_epoch = [&](const EpochStats& stats) {
    logs.write(stats);
    display.show(stats);
  };
  callbacks.on_prediction = [&](const EpochStats& stats, const std::string& text) {
    logs.write_sample(stats, text);
    display.show(text);
  };
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

// What the saver saves: where the training stands at the time.
std::function<Checkpoint()> checkpoint_of(const TrainRequest& request, const Corpus& corpus,
                                          const SequenceModel& net, const Training& training,
                                          TrainLogs& logs) {
  return [&] {
    logs.sync();
    return make_checkpoint(net, corpus.vocab, corpus.text, request.record, training);
  };
}

TrainResult run(Training& training, const TrainCallbacks& callbacks,
                const std::optional<Saver>& saver, TrainLogs& logs) {
  catch_interrupts();
  const auto what_is_left = [&](const Error& error) {
    const auto message = saver ? formatted("{}; {}", error.what(), saver->last()) : error.what();
    logs.stop(message);
    return Error(message);
  };
  try {
    return training.run(callbacks);
  } catch (const Diverged& error) {
    throw what_is_left(error);
  } catch (const RankLost& error) {
    throw what_is_left(error);
  } catch (const std::exception& error) {
    logs.stop(error.what());
    throw;
  }
}

// What the page shows of the trained model, on text that it was not trained on if there is any.
std::string inspect(SequenceModel& net, const TrainTexts& texts, const TrainRecord& record) {
  constexpr int64_t kInspected = 2000;
  const auto& text = texts.valid.defined() ? texts.valid : texts.train;
  const auto tokens = text.narrow(0, 0, std::min(kInspected, text.size(0)));
  std::vector<float> nats(static_cast<std::size_t>(tokens.size(0)));
  evaluate(net, tokens, {.batch_size = 1}, [&](int64_t first, std::span<const float> surprise) {
    std::copy(surprise.begin(), surprise.end(), nats.begin() + first);
  });
  const auto& vocab = texts.corpus.vocab;
  return section(
             "A text by surprise",
             colour_key(Scale::kSurprise) +
                 coloured_text(texts.valid.defined() ? "The beginning of the text to validate on"
                                                     : "The beginning of the text trained on",
                               coloured_by_surprise(tokens, vocab, nats), Scale::kSurprise)) +
         inspection({.config = net.config(),
                     .weights = net.weights(),
                     .vocab = vocab,
                     .tokens = tokens,
                     .num_steps = record.data.num_steps,
                     .clip = record.options.step.clip});
}

// Saves, logs and shows the result: saved first, as nobody may be there to read, and shown in any
// case.
void conclude(std::optional<Saver>& saver, TrainLogs& logs, Display& display,
              const TrainReport& report, const std::function<std::string()>& inspect_it) {
  std::exception_ptr failure;
  const auto keep_going = [&](const auto& work) {
    try {
      work();
    } catch (const Error& error) {
      if (failure) {
        print_error(error.what());
      } else {
        failure = std::current_exception();
      }
    }
  };
  keep_going([&] {
    if (saver) {
      saver->save_last();
    }
  });
  std::string inspected;
  if (logs.has_page()) {
    attempt(display.progress(), "the report does not show what the model does",
            [&] { inspected = inspect_it(); });
  }
  keep_going([&] { logs.finish(report.result, inspected); });
  display.show(report);
  if (failure) {
    std::rethrow_exception(failure);
  }
}

}  // namespace

void train(int argc, const char* const* argv) {
  auto options = declare_train_options();
  if (!options.parse(argc, argv)) {
    return;
  }
  const auto place = read_place(options);
  auto checkpoints = load_checkpoints(options);
  auto& [resumed, initial] = checkpoints;
  // What the request alone shows to be wrong, before any other file or device is touched.
  auto request = read_train_request(options, checkpoints);
  auto& record = request.record;
  check_rows(place, record.data);
  const auto device = set_up_machine(options, place);
  const auto compute = compute_on(device, options, record);
  require_supported(compute, device);
  const auto ranks = join_ranks(place.ranks);
  record.options.step.ranks = ranks;
  Display display(options, record.options, !place.is_first());
  auto saver = place.is_first() ? make_saver(options, record, resumed, display) : std::nullopt;
  if (saver) {
    outlive_readers();
  }
  display.check_plot();
  const auto texts = read_texts(options, record, checkpoints, ranks);
  likeness_of(request, texts, checkpoints).require(*ranks);
  const auto& corpus = texts.corpus;

  const auto share = options.has("valid") ? valid_share(options) : std::nullopt;
  const auto train_iter = make_loader(options, texts.train, record.data, device,
                                      share ? formatted("--valid {} leaves ", *share) : "");
  at::manual_seed(record.data.seed);
  const auto net = make_model(request.config, corpus.vocab.size(), device, compute);
  if (initial) {
    init_weights(*net, *initial);
  }
  Training training(*net, train_iter, corpus.vocab, record.options, texts.valid);
  if (resumed) {
    load(training, *net, *resumed, options.path("resume"));
  }
  TrainReport report{.result = {},
                     .config = request.config,
                     .effective = net->effective_compute(record.data.batch_size),
                     .device = describe(device),
                     .vocab_size = corpus.vocab.size(),
                     .tokens = texts.train.size(0),
                     .unknown = texts.unknown,
                     .valid_tokens = texts.valid.defined() ? texts.valid.size(0) : 0,
                     .valid_unknown = texts.valid_unknown,
                     .threads = at::get_num_threads(),
                     .ranks = ranks->world()};
  TrainLogs logs(display.progress());
  // The last thing that can fail.
  if (place.is_first()) {
    logs.open(options, training.history(),
              {.report = report,
               .text = name_of_text(options),
               .epochs = record.options.epochs,
               .clip = record.options.step.clip,
               .provenance = provenance_of(options, report.device)});
    for (const auto& line : describe_texts(texts, options, checkpoints)) {
      display.note(line);
    }
  }
  if (ranks->world() > 1) {
    display.note(formatted("{} ranks, with {} each, share each batch of {} rows", ranks->world(),
                           counted(report.threads, "thread"), record.data.batch_size));
  }
  explain_compute(*net, request.config, compute, record.data.batch_size,
                  [&](const std::string& reason) { display.warn(reason); });
  if (resumed) {
    show_resumed(*resumed, options, training, record.options, display);
  }
  if (resumed && saver && texts.valid.defined()) {
    saver->keep_best_of(options.path("resume"), *resumed);
  }
  resumed.reset();
  initial.reset();
  if (saver) {
    saver->set_source(checkpoint_of(request, corpus, *net, training, logs));
  }
  const auto callbacks =
      make_callbacks(training, *ranks, texts.valid.defined(), display, logs, saver);
  report.result = run(training, callbacks, saver, logs);
  if (place.is_first()) {
    conclude(saver, logs, display, report, [&] { return inspect(*net, texts, record); });
  }
}

}  // namespace unroll::app
