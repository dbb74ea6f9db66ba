#include <filesystem>
#include <optional>
#include <string>

#include "base/formatted.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output_files.h"
#include "commands/commands.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

void show_file(const std::filesystem::path& path, const std::string& holds) {
  print_text(stdout, formatted("{}: {}\n", path.string(), holds));
}

std::string described_tokens(const Checkpoint& checkpoint) {
  return formatted("{} tokens by {}", checkpoint.vocab.size(), to_string(checkpoint.text.tokens));
}

// `torch.nn.LSTM(28, 64, num_layers=2)`
std::string torch_layer(const Checkpoint& checkpoint) {
  const auto& config = checkpoint.config;
  const auto* name = config.cell == Cell::kLstm  ? "LSTM"
                     : config.cell == Cell::kGru ? "GRU"
                                                 : "RNN";
  return formatted("torch.nn.{}({}, {}{}{}{})", name, checkpoint.vocab.size(), config.hidden,
                   config.layers > 1 ? formatted(", num_layers={}", config.layers) : "",
                   config.dropout > 0 ? formatted(", dropout={}", config.dropout) : "",
                   config.cell == Cell::kRnnRelu ? ", nonlinearity='relu'" : "");
}

void write_state_dict(const Options& options, std::optional<StateDictNames> asked) {
  const auto checkpoint = load_checkpoint(options.path("checkpoint"));
  const auto names = asked.value_or(default_names(checkpoint));
  const auto path = options.path("state-dict");
  save_state_dict(path, checkpoint, names);
  const auto files = state_dict_files(path, names);
  if (names == StateDictNames::kNotebook) {
    show_file(files.front(), "the notebook's list of parameters");
  } else {
    show_file(files.front(), torch_layer(checkpoint));
    show_file(files.at(1), formatted("torch.nn.Linear({}, {})", checkpoint.config.hidden,
                                     checkpoint.vocab.size()));
  }
  show_file(files.back(), described_tokens(checkpoint));
}

void read_state_dict(const Options& options, std::optional<Cell> cell) {
  const auto checkpoint = load_state_dict(options.path("state-dict"), cell);
  save_checkpoint(options.path("save"), checkpoint);
  const auto& config = checkpoint.config;
  show_file(options.path("save"),
            formatted("{} {}, {} hidden units, {} layer{}, {}", to_string(*config.model),
                      to_string(config.cell), config.hidden, config.layers,
                      config.layers == 1 ? "" : "s", described_tokens(checkpoint)));
}

template <typename Enum>
std::optional<Enum> read_choice(const Options& options, const std::string& name) {
  return options.given(name) ? std::optional(parse_enum<Enum>(options.text(name))) : std::nullopt;
}

}  // namespace

void convert(int argc, const char* const* argv) {
  Options options("convert",
                  "Writes a checkpoint's weights as PyTorch's files, or makes a checkpoint of such "
                  "files.");
  options.value("checkpoint", "what train --save wrote: write its state dict", "FILE")
      .value("save", "make this checkpoint of a state dict", "FILE")
      .value("state-dict",
             "safetensors file of the weights (required); a Linear's are beside it in "
             "*.linear.safetensors, or in it too, the vocabulary in *.vocab.json",
             "FILE")
      .value("names",
             "with --checkpoint: torch, torch.nn's, or notebook, its list of parameters (default: "
             "torch for a concise model, notebook for scratch)",
             "HOW")
      .value("cell", "with --save: rnn, rnn-relu, gru or lstm, where the file does not say",
             "CELL");
  if (!options.parse(argc, argv)) {
    return;
  }
  options.require({"state-dict"});
  if (options.given("checkpoint") == options.given("save")) {
    throw UsageError(options.given("save")
                         ? "--checkpoint and --save: one is written or the other; choose one"
                         : "convert: --checkpoint or --save is missing (unroll convert --help)");
  }
  const bool writes = options.given("checkpoint");
  if (const auto* idle = writes ? "cell" : "names"; options.given(idle)) {
    throw UsageError(
        formatted("--{} has no effect with --{}", idle, writes ? "checkpoint" : "save"));
  }
  check_apart(options, writes ? "checkpoint" : "save",
              state_dict_files(options.path("state-dict"), StateDictNames::kTorch),
              "which is a part of the state dict");
  const auto names = read_choice<StateDictNames>(options, "names");
  const auto cell = read_choice<Cell>(options, "cell");
  if (writes) {
    write_state_dict(options, names);
  } else {
    read_state_dict(options, cell);
  }
}

}  // namespace unroll::app
