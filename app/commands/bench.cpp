#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/message.h"
#include "cli/options.h"
#include "commands/commands.h"
#include "study/report.h"
#include "unroll/device.h"
#include "unroll/error.h"
#include "unroll/study.h"

namespace unroll::app {
namespace {

// `rnn,gru` as parse sees them one by one.
template <typename Parse>
auto list_of(const std::string& text, const Parse& parse) {
  std::vector<decltype(parse(text))> values;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const auto end = std::min(text.find(',', begin), text.size());
    values.push_back(parse(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return values;
}

std::vector<int64_t> integers_of(const Options& options, const std::string& name) {
  return list_of(options.text(name), [&](const std::string& text) {
    int64_t value = 0;
    const auto* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || stopped != end) {
      throw UsageError(formatted("--{} takes integers with commas between them, got '{}'", name,
                                 options.text(name)));
    }
    return value;
  });
}

}  // namespace

void bench(int argc, const char* const* argv) {
  const BenchOptions defaults;
  Options options(
      "bench",
      "Trains models in turns and shows how fast each is: tokens a second, the ratio to the first "
      "row, and the share of what this machine's multiply-add units could do.");
  add_corpus_options(options);
  options.group("Models (each a list: rnn,lstm)")
      .value("model", "of scratch, concise, fused", "KINDS", "scratch,concise,fused")
      .value("cell", "of rnn, gru, lstm", "CELLS", std::string(to_string(ModelConfig{}.cell)))
      .value("hidden", "hidden units of a layer", "H,...", formatted("{}", ModelConfig{}.hidden))
      .value("layers", "layers; more than one needs concise or fused", "L",
             formatted("{}", ModelConfig{}.layers))
      .value("precision", "of fused models: of fp32, bf16x3, bf16", "NAMES",
             std::string(to_string(ModelConfig{}.precision)))
      .value("threads", "numbers of threads", "N,...", "1")
      .value("device", "auto, cpu, cuda or cuda:N", "NAME", "auto")
      .value("graph", "steps captured as CUDA graphs: of on, off, auto (off)", "WHEN,...",
             std::string(to_string(GraphMode::kAuto)));
  add_data_options(options);
  options.group("Measuring")
      .value("repeat", "epochs of each, taken in turns", "N", formatted("{}", defaults.repeat))
      .value("seed", "of the weights and the batches", "N", formatted("{}", DataOptions{}.seed))
      .flag("json", "print one JSON object as the result");
  if (!options.parse(argc, argv)) {
    return;
  }
  BenchOptions request;
  request.models.clear();
  for (const auto cell : list_of(options.text("cell"), parse_cell)) {
    for (const auto hidden : integers_of(options, "hidden")) {
      for (const auto model : list_of(options.text("model"), parse_model_kind)) {
        for (const auto precision : list_of(options.text("precision"), parse_precision)) {
          ModelConfig config{
              .model = model, .cell = cell, .hidden = hidden, .layers = options.integer("layers")};
          // The others have float32 alone, and one row of it.
          if (model == ModelKind::kFused) {
            config.precision = precision;
          }
          if (request.models.empty() || !(request.models.back() == config)) {
            request.models.push_back(config);
          }
        }
      }
    }
  }
  request.threads = integers_of(options, "threads");
  request.graphs = list_of(options.text("graph"), parse_graph_mode);
  for (const auto graph : request.graphs) {
    check_graph(options, graph);
  }
  request.repeat = options.integer("repeat");
  check(request);
  const auto text = read_corpus_options(options);
  const auto data = read_data_options(options);
  check_device_name(options.text("device"));

  forbid_tf32();
  const auto device = parse_device(options.text("device"));
  for (const auto graph : request.graphs) {
    require_graph(graph, device);
  }
  std::string told;
  for (auto& model : request.models) {
    if (model.model == ModelKind::kFused) {
      model.cuda_kernels =
          wants_cuda_kernels(options, model.precision, device, [&](const std::string& reason) {
            if (reason != std::exchange(told, reason)) {
              print_error(reason);
            }
          });
    }
    require_supported(model, device);
  }
  const auto corpus = load_corpus(options, text);
  const auto train_iter = make_loader(options, corpus.indices, data, device);
  at::manual_seed(data.seed);
  TrainCallbacks callbacks;
  callbacks.on_batch = [](const TrainProgress& at, int64_t) { check_interrupt(at); };
  callbacks.on_graph_fallback = [](const std::string& reason) {
    print_error(without_graph(reason));
  };
  const auto rows = unroll::bench(train_iter, corpus.vocab.size(), request, callbacks);
  print_formatted(stdout, "{}", options.is_set("json") ? to_json(rows) + "\n" : table(rows));
}

}  // namespace unroll::app
