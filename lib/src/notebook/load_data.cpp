#include "unroll/corpus.h"
#include "unroll/notebook.h"

namespace unroll {

std::pair<SeqDataLoader, Vocab> load_data_time_machine(const std::filesystem::path& path,
                                                       int64_t batch_size, int64_t num_steps,
                                                       bool use_random_iter, int64_t max_tokens,
                                                       torch::Device device) {
  const auto corpus = load_corpus_time_machine(path, max_tokens);
  DataOptions options;
  options.batch_size = batch_size;
  options.num_steps = num_steps;
  options.sampling = use_random_iter ? Sampling::kRandom : Sampling::kSequential;
  return {SeqDataLoader(corpus.indices, options, device), corpus.vocab};
}

}  // namespace unroll
