// Whatever a file holds, load_checkpoint gives a checkpoint or throws Error, in memory that is
// worth the file; what it gives survives being saved, and makes a model and a training to go on
// with, or Error.

#include <torch/types.h>
#include <torch/utils.h>

#include <optional>
#include <string>

#include "allocation_limit.h"
#include "checkpoint/train_record.h"
#include "folder.h"
#include "require.h"
#include "safetensors_mutator.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"

namespace unroll {
namespace {

// A list in JSON, `0,0,0`, becomes values of 16 bytes each, in a vector that doubles.
constexpr AllocationLimit::Multiples kLimit{.largest = 16, .live = 36};

// Saves it, loads that, and saves it again.
void check_that_saving_keeps(const Checkpoint& checkpoint) {
  save_checkpoint(folder() / "once", checkpoint);
  const auto again = load_checkpoint(folder() / "once");
  save_checkpoint(folder() / "twice", again);
  require(content_of(folder() / "once") == content_of(folder() / "twice"),
          "saved, loaded and saved again, a checkpoint is another");
  require(checkpoint.config == again.config, "saving changed the model");
  require(checkpoint.training.has_value() == again.training.has_value(),
          "saving lost the training");
  if (checkpoint.training) {
    require(to_json(*checkpoint.training) == to_json(*again.training), "saving changed an option");
  }
}

// As far as it goes without a step.
void resume(const Checkpoint& checkpoint) {
  const auto compute = checkpoint.training ? checkpoint.training->compute : Compute{};
  const auto model = make_model(checkpoint, torch::kCPU, compute);
  if (checkpoint.training) {
    const auto& record = *checkpoint.training;
    const SeqDataLoader batches(torch::zeros({1000}, torch::kUInt8), record.data, torch::kCPU);
    Training(*model, batches, checkpoint.vocab, record.options).load_state(record.state);
    torch::rand({1000});
  }
}

}  // namespace
}  // namespace unroll

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  torch::set_num_threads(1);
  torch::empty({1});  // LibTorch allocates much for the first tensor
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace unroll;
  const auto path = folder().write("input", {reinterpret_cast<const char*>(data), size});
  std::optional<Checkpoint> checkpoint;
  try {
    const AllocationLimit limit(size, kLimit);
    checkpoint = load_checkpoint(path);
  } catch (const Error&) {
    return 0;
  }
  ++taken;
  keep_readable({reinterpret_cast<const char*>(data), size});
  check_that_saving_keeps(*checkpoint);
  try {
    resume(*checkpoint);
  } catch (const Error&) {  // what must fit the model is looked at when there is one
  }
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned seed) {
  return unroll::mutate_safetensors(data, size, most, seed);
}
