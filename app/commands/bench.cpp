#include <ATen/Context.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/device_name.h"
#include "base/formatted.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/ranks.h"
#include "cli/texts.h"
#include "commands/commands.h"
#include "report/bench_report.h"
#include "report/visible_text.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/study.h"

namespace unroll::app {
namespace {

Options declare_bench_options() {
  const ModelConfig model;
  const Compute compute;
  Options options(
      "bench",
      "Trains models in turns and shows how fast each is: tokens a second, the ratio to the first "
      "row, and the share of what this machine's multiply-add units could do.");
  add_corpus_options(options);
  options.group("Models (each a list: rnn,lstm)")
      .value("model",
             "of scratch and concise, computed plain, fused, by our kernels, cudnn, on a GPU, and "
             "auto, the one that is expected to be fastest; with --inputs concise,fused",
             "KINDS", "scratch,concise,fused")
      .value("cell", "of " + names_of(std::optional(Cell::kMlp)), "CELLS", to_text(model.cell))
      .value("hidden", "hidden units of a layer", "H,...", to_text(model.hidden))
      .value("layers", "layers; more than one needs a concise or fused model", "L",
             to_text(model.layers))
      .value("precision", "of fused, cudnn and auto: of " + names_of<Precision>(), "NAMES",
             to_text(compute.precision))
      .value("threads", "numbers of threads", "N,...", "1")
      .value("device", "auto, cpu, cuda or cuda:N", "NAME", "auto")
      .value("graph", "steps captured as CUDA graphs: of " + names_of<GraphMode>(), "WHEN,...",
             to_text(compute.graph));
  options.group("Batch").fields(DataOptions{});
  options.group("Measuring")
      .fields(BenchOptions{})
      .flag("json", "print one JSON object as the result")
      .flag("quiet", "print nothing but the result");
  add_rank_options(options);
  return options;
}

// A row's name, as ModelSetup::name has it -> whose parameters it has and who computes.
ModelSetup setup_named(const std::string& name) {
  for (const auto backend : {Backend::kFused, Backend::kCudnn, Backend::kAuto}) {
    if (name == to_string(backend)) {
      return {.config = {}, .compute = {.backend = backend}};
    }
  }
  if (name != to_string(ModelKind::kScratch) && name != to_string(ModelKind::kConcise)) {
    throw UsageError(
        formatted("model must be scratch, concise, fused, cudnn or auto, got '{}'", name));
  }
  return {.config = {.model = parse_enum<ModelKind>(name)},
          .compute = {.backend = Backend::kPlain}};
}

// Each of these with each value of an option's list; those that come out the same once.
template <typename T, typename Set>
std::vector<ModelSetup> vary(const std::vector<ModelSetup>& setups, const Options& options,
                             const std::string& name, const Set& set) {
  std::vector<ModelSetup> all;
  for (const auto& value : list_of<T>(options, name)) {
    for (const auto& setup : setups) {
      all.push_back(setup);
      set(all.back(), value);
      const auto last = std::prev(all.end());
      if (std::find(all.begin(), last, *last) != last) {
        all.pop_back();
      }
    }
  }
  return all;
}

// Every combination of the lists, the cell's changing slowest.
std::vector<ModelSetup> read_setups(const Options& options, bool layers_alone) {
  std::vector<ModelSetup> setups;
  const bool by_default = layers_alone && !options.given("model");
  for (const auto& name : by_default ? std::vector<std::string>{"concise", "fused"}
                                     : list_of<std::string>(options, "model")) {
    auto& setup = setups.emplace_back(setup_named(name));
    setup.config.layers = options.integer("layers");
    if (layers_alone && !setup.config.model) {
      setup.config.model = ModelKind::kConcise;
    }
  }
  setups = vary<GraphMode>(setups, options, "graph", [&](auto& setup, auto graph) {
    check_graph(options, graph);
    setup.compute.graph = graph;
  });
  setups = vary<Precision>(setups, options, "precision", [](auto& setup, auto precision) {
    // The others have float32 alone, and one row of it.
    if (setup.compute.backend != Backend::kPlain) {
      setup.compute.precision = precision;
    }
  });
  setups = vary<int64_t>(setups, options, "hidden",
                         [](auto& setup, auto hidden) { setup.config.hidden = hidden; });
  // cuDNN has no GRU that resets before the product: beside it all rows are of the other one.
  const bool with_cudnn = std::any_of(setups.begin(), setups.end(), [](const auto& setup) {
    return setup.compute.backend == Backend::kCudnn;
  });
  return vary<Cell>(setups, options, "cell", [&](auto& setup, auto cell) {
    setup.config.cell = cell;
    if (cell == Cell::kGru && with_cudnn) {
      setup.config.gru_reset = GruReset::kAfter;
    }
  });
}

TrainCallbacks bench_callbacks() {
  TrainCallbacks callbacks;
  callbacks.on_batch = [](const TrainProgress& at, int64_t) { check_interrupt(at); };
  callbacks.on_graph_fallback = [](const std::string& reason) {
    print_error(without_graph(reason));
  };
  return callbacks;
}

// What ranks that are measured together must have alike.
Likeness likeness_of(const BenchOptions& request, const DataOptions& data, const Corpus& corpus) {
  Likeness likeness;
  likeness.add_fields(request);
  likeness.add_fields(data);
  for (const auto& setup : request.models) {
    for (const auto threads : request.threads) {
      likeness.add(formatted("{} {} of {} units in {} layers, in {}, with {}", setup.name(),
                             to_string(setup.config.cell), setup.config.hidden, setup.config.layers,
                             to_string(setup.compute.precision), counted(threads, "thread")));
    }
  }
  likeness.add(formatted("a text of {} with hash {}", counted(corpus.size(), "token"),
                         corpus.fingerprint.hash));
  return likeness;
}

}  // namespace

void bench(int argc, const char* const* argv) {
  auto options = declare_bench_options();
  if (!options.parse(argc, argv)) {
    return;
  }
  const auto place = read_place(options);
  BenchOptions request;
  options.read(request);
  request.models = read_setups(options, request.inputs > 0);
  request.threads = list_of<int64_t>(options, "threads");
  check(request);
  CorpusOptions text;
  read_corpus_options(options, text);
  DataOptions data;
  options.read(data);
  check(data);
  check_device_name(options.text("device"));
  check_rows(place, data);

  const auto device = set_up_device(options, place);
  for (const auto& setup : request.models) {
    require_supported(setup.compute, device);
  }
  request.ranks = join_ranks(place.ranks);
  check(request);
  if (device.is_cuda()) {
    if (const auto problem = cuda_kernels_problem(device); !problem.empty()) {
      print_error(formatted("computed without our kernels on {}: {}", device.str(), problem));
    }
  }
  const auto corpus = load_corpus(options, text, request.ranks);
  const auto train_iter = make_loader(options, corpus.indices, data, device);
  likeness_of(request, data, corpus).require(*request.ranks);
  if (!options.is_set("quiet") && place.is_first()) {
    print_note(visible(describe_corpus(options, corpus)) + "\n");
    warn_of_threads(*std::max_element(request.threads.begin(), request.threads.end()));
  }
  at::manual_seed(data.seed);
  const auto rows = unroll::bench(train_iter, corpus.vocab.size(), request, bench_callbacks());
  if (place.is_first()) {
    print_formatted(stdout, "{}", options.is_set("json") ? to_json(rows) + "\n" : table(rows));
  }
}

}  // namespace unroll::app
