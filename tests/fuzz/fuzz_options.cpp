// Whatever the arguments of train are, they are taken or refused with an Error; what is taken comes
// back from the record of the training as it was.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/train_record.h"
#include "cli/options.h"
#include "cli/train_request.h"
#include "require.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"

namespace unroll::app {
namespace {

// A training with these options, which may go on from another.
Checkpoint checkpoint_of(const Options& options, const std::optional<Checkpoint>& resumed) {
  const auto request = read_train_request(options, {.resumed = resumed, .initial = {}});
  check(request.record);
  Checkpoint checkpoint{.config = request.config, .vocab = {}, .text = request.record.corpus.text};
  checkpoint.training = request.record;
  return checkpoint;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts{"train"};
  while (!text.empty()) {
    const auto end = std::min(text.find('\0'), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

}  // namespace
}  // namespace unroll::app

// The input is the arguments, a NUL between each two.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace unroll;
  using namespace unroll::app;
  const auto arguments = split({reinterpret_cast<const char*>(data), size});
  std::vector<const char*> pointers;
  for (const auto& argument : arguments) {
    pointers.push_back(argument.c_str());
  }
  Checkpoint first;
  try {
    auto options = declare_train_options();
    if (!options.parse(static_cast<int>(pointers.size()), pointers.data())) {
      return 0;
    }
    first = checkpoint_of(options, std::nullopt);
  } catch (const Error&) {
    return 0;
  }
  ++taken;
  auto options = declare_train_options();
  options.parse(1, pointers.data());
  restore_settings(options, *first.training);
  const auto resumed = checkpoint_of(options, first);
  require(resumed.config == first.config, "a resumed training has the model of the first");
  require(to_json(*resumed.training) == to_json(*first.training),
          "a resumed training has the options of the first");
  return 0;
}
