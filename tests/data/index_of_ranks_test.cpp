// A kept index that several ranks read together.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>

#include "support/rank_threads.h"
#include "support/temp_folder.h"
#include "unroll/corpus.h"
#include "unroll/seq_data.h"

namespace unroll {
namespace {

// Bytes of the mapping around `address` that this process has looked at.
int64_t resident_bytes_around(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool is_there = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    int64_t kibibytes = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      is_there = begin <= wanted && wanted < end;
    } else if (is_there && std::sscanf(line.c_str(), "Rss: %ld kB", &kibibytes) == 1) {
      return kibibytes * 1024;
    }
  }
  return -1;
}

TEST(IndexOfRanks, IsReadByEachRankWhereItsRowsAre) {
  const TempFolder folder;
  std::string words;
  std::mt19937 random(0);
  while (words.size() < (std::size_t{24} << 20)) {
    words += static_cast<char>('a' + random() % 26);
  }
  const auto text = folder.write("text", words);
  read_kept_corpus({text}, folder / "index", {});
  const auto whole = make_corpus(words).indices;
  run_ranks(4, [&](const auto& ranks) {
    const auto corpus = read_kept_corpus({text}, folder / "index", {}, {}, ranks);
    ranks->all_reduce(torch::zeros({1}));  // all have checked their part
    const SeqDataLoader train_iter(corpus.indices, {.batch_size = 8, .num_steps = 4096});
    const auto epoch = train_iter.epoch(0).shard(ranks->rank(), 4);
    int64_t sum = 0;
    for (const auto& [X, Y] : epoch) {
      sum += X.sum().template item<int64_t>() + Y.sum().template item<int64_t>();
    }
    const int64_t share = corpus.size() / 4;
    const int64_t looked_at = resident_bytes_around(corpus.indices.data_ptr());
    EXPECT_GE(looked_at, share);
    EXPECT_LE(looked_at, share + (int64_t{4} << 20)) << ranks->rank();
    EXPECT_TRUE(corpus.indices.equal(whole));  // which looks at all of it
    EXPECT_GT(sum, 0);
  });
}

TEST(IndexOfRanks, IsMadeByTheFirstRankForAll) {
  const TempFolder folder;
  const auto text = folder.write("text", "the time machine");
  run_ranks(3, [&](const auto& ranks) {
    EXPECT_EQ(read_kept_corpus({text}, folder / "index", {}, {}, ranks).size(), 16);
  });
  folder.write("text", "another one");
  run_ranks(2, [&](const auto& ranks) {
    EXPECT_EQ(read_kept_corpus({text}, folder / "index", {}, {}, ranks).size(), 11);
  });
}

}  // namespace
}  // namespace unroll
