#include "unroll/seq_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "base/formatted.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A corpus in which a token says where it stands.
torch::Tensor places(int64_t size) { return torch::arange(size, torch::kInt32); }

std::vector<int64_t> elements(const torch::Tensor& tensor) {
  const auto flat = tensor.contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

bool equal(const Epoch& a, const Epoch& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](auto x, auto y) {
           return torch::equal(x.X, y.X) && torch::equal(x.Y, y.Y);
         });
}

class SeqDataOfEachSampling : public ::testing::TestWithParam<Sampling> {
 protected:
  // Calls `check` with loaders of random sizes; a failure names its seed and sizes.
  template <typename Check>
  void for_random_loaders(const Check& check) {
    for (unsigned seed = 0; seed < 100; ++seed) {
      std::mt19937 random(seed);
      const auto draw = [&](int64_t low, int64_t high) {
        return std::uniform_int_distribution<int64_t>(low, high)(random);
      };
      DataOptions options;
      options.sampling = GetParam();
      options.batch_size = draw(1, 5);
      options.num_steps = draw(1, 7);
      options.seed = seed;
      if (draw(0, 1) == 1) {
        options.offset = draw(0, 12);
      }
      const int64_t size =
          options.batch_size * options.num_steps + 1 + options.offset.value_or(0) + draw(0, 90);
      SCOPED_TRACE(formatted("seed {}: {} tokens, B {}, T {}, offset {}", seed, size,
                             options.batch_size, options.num_steps, options.offset.value_or(-1)));
      check(SeqDataLoader(places(size), options), size, options);
    }
  }
};

TEST_P(SeqDataOfEachSampling, BatchesHoldEachTokenAtMostOnceAndItsSuccessor) {
  for_random_loaders([](const SeqDataLoader& loader, int64_t size, const DataOptions& options) {
    const auto epoch = loader.epoch(0);
    EXPECT_GE(epoch.size(), 1);
    std::set<int64_t> seen;
    for (const auto& [X, Y] : epoch) {
      EXPECT_EQ(X.scalar_type(), torch::kInt64);
      EXPECT_EQ(Y.scalar_type(), torch::kInt64);
      EXPECT_EQ(X.sizes(), (std::vector<int64_t>{options.batch_size, options.num_steps}));
      EXPECT_TRUE(torch::equal(Y, X + 1));
      for (const auto place : elements(X)) {
        EXPECT_TRUE(seen.insert(place).second) << "token " << place << " twice";
      }
    }
    EXPECT_GE(*seen.begin(), epoch.offset());
    EXPECT_LT(*seen.rbegin(), size - 1);
  });
}

TEST_P(SeqDataOfEachSampling, AnEpochHasAsManyBatchesAsFit) {
  for_random_loaders([](const SeqDataLoader& loader, int64_t size, const DataOptions& options) {
    for (int64_t e = 0; e < 3; ++e) {
      const auto epoch = loader.epoch(e);
      const int64_t left = size - epoch.offset() - 1;
      EXPECT_EQ(epoch.size(), options.sampling == Sampling::kRandom
                                  ? left / options.num_steps / options.batch_size
                                  : left / options.batch_size / options.num_steps);
      EXPECT_EQ(epoch.offset(), options.offset.value_or(epoch.offset()));
    }
  });
}

TEST_P(SeqDataOfEachSampling, RowsAreConsecutiveTokens) {
  for_random_loaders([](const SeqDataLoader& loader, int64_t, const DataOptions& options) {
    const auto steps = torch::arange(options.num_steps);
    for (const auto& batch : loader.epoch(1)) {
      EXPECT_TRUE(torch::equal(batch.X, batch.X.narrow(1, 0, 1) + steps));
    }
  });
}

TEST_P(SeqDataOfEachSampling, BatchesContinueTheirRowsUnlessRandom) {
  int64_t continued = 0;
  int64_t broken = 0;
  for_random_loaders([&](const SeqDataLoader& loader, int64_t, const DataOptions& options) {
    const auto epoch = loader.epoch(2);
    for (int64_t k = 0; k + 1 < epoch.size(); ++k) {
      const auto last = epoch[k].X.select(1, options.num_steps - 1);
      const bool continues = torch::equal(epoch[k + 1].X.select(1, 0), last + 1);
      ++(continues ? continued : broken);
    }
  });
  if (GetParam() == Sampling::kRandom) {
    EXPECT_GT(broken, 9 * continued);
  } else {
    EXPECT_EQ(broken, 0);
    EXPECT_GT(continued, 100);
  }
}

TEST_P(SeqDataOfEachSampling, AnEpochIsAFunctionOfSeedAndNumber) {
  for_random_loaders([](const SeqDataLoader& loader, int64_t size, const DataOptions& options) {
    const SeqDataLoader again(places(size), options);
    again.epoch(0);
    EXPECT_TRUE(equal(loader.epoch(3), again.epoch(3)));
    EXPECT_TRUE(equal(loader.epoch(3), loader.epoch(3)));
  });
}

TEST_P(SeqDataOfEachSampling, EpochsAndSeedsDiffer) {
  DataOptions options{.batch_size = 2, .num_steps = 5, .sampling = GetParam()};
  const auto offsets = [&](uint64_t seed) {
    options.seed = seed;
    const SeqDataLoader loader(places(200), options);
    std::vector<int64_t> result;
    for (int64_t e = 0; e < 300; ++e) {
      result.push_back(loader.epoch(e).offset());
    }
    return result;
  };
  const auto drawn = offsets(0);
  // Every offset that may be drawn is drawn, no other: T is one of them where data is sequential.
  EXPECT_EQ(std::set<int64_t>(drawn.begin(), drawn.end()),
            GetParam() == Sampling::kRandom ? (std::set<int64_t>{0, 1, 2, 3, 4})
                                            : (std::set<int64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_NE(drawn, offsets(1));
  EXPECT_NE(drawn, offsets(uint64_t{1} << 32));
}

TEST_P(SeqDataOfEachSampling, DrawsNothingFromLibTorchsGenerator) {
  at::manual_seed(5);
  const auto expected = torch::rand({2});
  at::manual_seed(5);
  SeqDataLoader(places(100), {.batch_size = 2, .num_steps = 5, .sampling = GetParam()}).epoch(0)[0];
  EXPECT_TRUE(torch::equal(torch::rand({2}), expected));
}

TEST_P(SeqDataOfEachSampling, ShardsPartitionEveryBatch) {
  for_random_loaders([](const SeqDataLoader& loader, int64_t, const DataOptions& options) {
    const auto whole = loader.epoch(0);
    for (int64_t world = 1; world <= options.batch_size; ++world) {
      for (int64_t k = 0; k < whole.size(); ++k) {
        std::vector<torch::Tensor> X;
        std::vector<torch::Tensor> Y;
        for (int64_t rank = 0; rank < world; ++rank) {
          const auto batch = whole.shard(rank, world)[k];
          EXPECT_GE(batch.X.size(0), 1);
          X.push_back(batch.X);
          Y.push_back(batch.Y);
        }
        EXPECT_TRUE(torch::equal(torch::cat(X), whole[k].X));
        EXPECT_TRUE(torch::equal(torch::cat(Y), whole[k].Y));
      }
      const auto part = whole.shard(world - 1, world);
      const int64_t rows = part[0].X.size(0);
      EXPECT_TRUE(torch::equal(part.shard(rows - 1, rows)[0].Y, part[0].Y.narrow(0, rows - 1, 1)));
    }
  });
}

TEST_P(SeqDataOfEachSampling, TheShortestCorpusMakesOneBatchInEveryEpoch) {
  const SeqDataLoader loader(places(13), {.batch_size = 3, .num_steps = 4, .sampling = GetParam()});
  for (int64_t e = 0; e < 20; ++e) {
    EXPECT_EQ(loader.epoch(e).size(), 1);
    EXPECT_EQ(loader.epoch(e).offset(), 0);
  }
}

TEST_P(SeqDataOfEachSampling, ACorpusTooShortNamesWhatItHasAndNeeds) {
  DataOptions options{.batch_size = 3, .num_steps = 4, .sampling = GetParam()};
  EXPECT_THAT(thrown<Error>([&] { SeqDataLoader(places(12), options); }),
              AllOf(HasSubstr("12 tokens"), HasSubstr("13"), HasSubstr("batch 3 x steps 4")));
  options.offset = 7;
  EXPECT_THAT(thrown<Error>([&] { SeqDataLoader(places(19), options); }),
              AllOf(HasSubstr("19 tokens"), HasSubstr("20"), HasSubstr("offset 7")));
  EXPECT_EQ(SeqDataLoader(places(20), options).epoch(0).size(), 1);
}

INSTANTIATE_TEST_SUITE_P(Samplings, SeqDataOfEachSampling,
                         ::testing::Values(Sampling::kSequential, Sampling::kRandom,
                                           Sampling::kSequentialReset),
                         [](const auto& info) {
                           std::string name(to_string(info.param));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(SeqData, SequentialRowsAreTheNotebooks) {
  // n = floor((20-1-1)/2)*2 = 18: rows of 9, of which two steps of 4 are used.
  const SeqDataLoader loader(places(20), {.batch_size = 2, .num_steps = 4, .offset = 1});
  const auto epoch = loader.epoch(0);
  ASSERT_EQ(epoch.size(), 2);
  EXPECT_EQ(elements(epoch[0].X), (std::vector<int64_t>{1, 2, 3, 4, 10, 11, 12, 13}));
  EXPECT_EQ(elements(epoch[1].X), (std::vector<int64_t>{5, 6, 7, 8, 14, 15, 16, 17}));
}

TEST(SeqData, RandomSubsequencesStartAtMultiplesOfTheStepsInAnyOrder) {
  const SeqDataLoader loader(
      places(1 + 3 + 60),
      {.batch_size = 3, .num_steps = 4, .sampling = Sampling::kRandom, .offset = 3});
  const auto starts = [&](int64_t e) {
    std::vector<int64_t> result;
    for (const auto& batch : loader.epoch(e)) {
      for (const auto start : elements(batch.X.select(1, 0))) {
        result.push_back(start);
      }
    }
    return result;
  };
  auto first = starts(0);
  EXPECT_NE(first, starts(1));
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
  std::sort(first.begin(), first.end());
  std::vector<int64_t> expected;
  for (int64_t i = 0; i < 15; ++i) {
    expected.push_back(3 + 4 * i);
  }
  EXPECT_EQ(first, expected);
}

TEST(SeqData, OnlySequentialSamplingCarriesTheState) {
  for (const auto sampling :
       {Sampling::kSequential, Sampling::kRandom, Sampling::kSequentialReset}) {
    const SeqDataLoader loader(places(50), {.batch_size = 2, .num_steps = 3, .sampling = sampling});
    EXPECT_EQ(loader.epoch(0).carries_state(), sampling == Sampling::kSequential);
  }
}

TEST(SeqData, IndicesOfAnyIntegerTypeComeOutAsInt64) {
  for (const auto dtype : {torch::kUInt8, torch::kInt32, torch::kInt64}) {
    const SeqDataLoader loader(torch::arange(30).to(dtype),
                               {.batch_size = 2, .num_steps = 3, .offset = 0});
    EXPECT_EQ(elements(loader.epoch(0)[0].X), (std::vector<int64_t>{0, 1, 2, 14, 15, 16}));
  }
}

TEST(SeqData, WhatIsNoRowOfIntegersIsRefused) {
  const DataOptions options{.batch_size = 2, .num_steps = 3};
  const auto refused = [&](const torch::Tensor& corpus) {
    const auto message = thrown<Error>([&] { SeqDataLoader(corpus, options); });
    EXPECT_EQ(thrown<Error>([&] { hold_out(corpus, 0.5); }), message);
    return message;
  };
  const std::string begin = "a corpus must be a row (N) of uint8 or signed integers, got ";
  EXPECT_EQ(refused(torch::rand({20})), begin + "Float of shape [20]");
  EXPECT_EQ(refused(torch::zeros({20}, torch::kBool)), begin + "Bool of shape [20]");
  EXPECT_EQ(refused(torch::zeros({20, 2}, torch::kInt64)), begin + "Long of shape [20, 2]");
  EXPECT_EQ(refused({}), begin + "no tensor");
}

// Batches that say which they are.
Batch numbered_batch(int64_t e, int64_t k) {
  return {torch::full({4, 3}, e), torch::full({4, 3}, k)};
}

TEST(OwnBatches, AreThoseOfTheFunction) {
  const SeqDataLoader train_iter(5, numbered_batch, Sampling::kSequential);
  EXPECT_EQ(train_iter.options().batch_size, 4);
  EXPECT_EQ(train_iter.options().num_steps, 3);
  EXPECT_EQ(train_iter.num_tokens(), 60);
  const auto epoch = train_iter.epoch(7);
  ASSERT_EQ(epoch.size(), 5);
  EXPECT_TRUE(epoch.carries_state());
  EXPECT_FALSE(epoch.has_corpus());
  int64_t k = 0;
  for (const auto& [X, Y] : epoch) {
    EXPECT_EQ(X[0][0].item<int64_t>(), 7);
    EXPECT_EQ(Y[3][2].item<int64_t>(), k++);
  }
  EXPECT_EQ(k, 5);
  const auto shard = epoch.shard(1, 2);
  EXPECT_EQ(shard.rows(), 2);
  EXPECT_EQ(shard[3].Y.sizes(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(shard[3].Y[0][0].item<int64_t>(), 3);
  EXPECT_FALSE(SeqDataLoader(1, numbered_batch).epoch(0).carries_state());
}

TEST(OwnBatches, ThatDoNotFitAreRefused) {
  thrown<UsageError>([] { SeqDataLoader(0, numbered_batch); });
  thrown<UsageError>([] { SeqDataLoader(1, BatchFn{}); });
  EXPECT_EQ(thrown<Error>([] { SeqDataLoader(1, [](int64_t, int64_t) { return Batch{}; }); }),
            "a batch must be X and Y (B,T), got no tensor");
  const SeqDataLoader growing(3, [](int64_t, int64_t k) {
    return Batch{torch::zeros({4, 3 + k}, torch::kInt64), torch::zeros({4, 3}, torch::kInt64)};
  });
  EXPECT_EQ(thrown<Error>([&] { growing.epoch(0)[1]; }),
            "batch 1 must be X and Y of shape [4, 3] as the first one's X, got [4, 4]");
  thrown<Error>([&] { growing.epoch(0).starts(); });
}

TEST(SeqData, BatchesAndShardsOutsideAreErrors) {
  const auto epoch = SeqDataLoader(places(50), {.batch_size = 2, .num_steps = 3}).epoch(0);
  thrown<Error>([&] { epoch[-1]; });
  EXPECT_THAT(thrown<Error>([&] { epoch[epoch.size()]; }),
              HasSubstr(formatted("got {}", epoch.size())));
  for (const auto& [rank, world] : {std::pair{-1, 2}, {2, 2}, {0, 3}, {0, 0}}) {
    thrown<Error>([&, rank = rank, world = world] { epoch.shard(rank, world); });
  }
}

TEST(SeqData, OptionsOutOfRangeAreWrongUsage) {
  EXPECT_THAT(thrown<UsageError>([] { check(DataOptions{.batch_size = 0}); }),
              AllOf(HasSubstr("batch-size"), HasSubstr("got 0")));
  EXPECT_THAT(thrown<UsageError>([] { check(DataOptions{.num_steps = -3}); }),
              AllOf(HasSubstr("num-steps"), HasSubstr("got -3")));
  EXPECT_THAT(thrown<UsageError>([] { check(DataOptions{.offset = -1}); }),
              AllOf(HasSubstr("offset"), HasSubstr("got -1")));
  thrown<UsageError>([] { SeqDataLoader(places(50), {.batch_size = 0}); });
}

TEST(SeqData, StartsTellWhereTheRowsOfEachBatchBegin) {
  // A part of a tensor, so that positions in it and in its memory differ.
  const auto corpus = places(60).narrow(0, 5, 50);
  for (const auto sampling :
       {Sampling::kSequential, Sampling::kRandom, Sampling::kSequentialReset}) {
    const SeqDataLoader train_iter(corpus, {.batch_size = 3, .num_steps = 4, .sampling = sampling});
    const auto whole = train_iter.epoch(1);
    for (const auto& epoch : {whole, whole.shard(1, 2)}) {
      const auto starts = epoch.starts();
      ASSERT_EQ(starts.sizes(), (std::vector<int64_t>{epoch.size(), epoch.rows()}));
      for (int64_t k = 0; k < epoch.size(); ++k) {
        for (int64_t b = 0; b < epoch.rows(); ++b) {
          const auto start = starts[k][b].item<int64_t>();
          const auto row = epoch.corpus().narrow(0, start, epoch.num_steps() + 1);
          EXPECT_TRUE(torch::equal(epoch[k].X[b], row.narrow(0, 0, 4).to(torch::kInt64)));
          EXPECT_TRUE(torch::equal(epoch[k].Y[b], row.narrow(0, 1, 4).to(torch::kInt64)));
        }
      }
    }
    EXPECT_TRUE(Epoch(whole).is_same(whole));
    EXPECT_FALSE(train_iter.epoch(1).is_same(whole));
    EXPECT_FALSE(whole.shard(0, 2).is_same(whole));
  }
}

TEST(SeqData, HugeOptionsDoNotOverflow) {
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_THROW(
      SeqDataLoader(places(50), {.batch_size = int64_t{1} << 32, .num_steps = int64_t{1} << 32}),
      Error);
  EXPECT_THROW(SeqDataLoader(places(50), {.batch_size = 2, .num_steps = 3, .offset = most}), Error);
}

TEST(SeqData, SamplingNamesAreParsedBack) {
  for (const auto sampling :
       {Sampling::kSequential, Sampling::kRandom, Sampling::kSequentialReset}) {
    EXPECT_EQ(parse_enum<Sampling>(to_string(sampling)), sampling);
  }
  EXPECT_THAT(thrown<UsageError>([] { parse_enum<Sampling>("shuffled"); }),
              HasSubstr("'shuffled'"));
}

TEST(SeqData, ATextTooShortForABatchIsToldOneThatFits) {
  const auto refusal = [](int64_t tokens, const DataOptions& options) {
    return thrown<Error>([&] { SeqDataLoader(torch::zeros({tokens}, torch::kUInt8), options); });
  };
  EXPECT_EQ(refusal(812, {}),
            "812 tokens, need at least 1121 for batch 32 x steps 35; batch-size 23 fits");
  EXPECT_EQ(refusal(35, {}),
            "35 tokens, need at least 1121 for batch 32 x steps 35; batch-size 1 with num-steps 34 "
            "fits");
  EXPECT_EQ(refusal(1, {}), "1 token, need at least 1121 for batch 32 x steps 35");
  EXPECT_EQ(refusal(45, {.offset = 9}),
            "45 tokens, need at least 1130 for batch 32 x steps 35 after offset 9; batch-size 1 "
            "fits");
  // And these do fit.
  SeqDataLoader(torch::zeros({812}, torch::kUInt8), {.batch_size = 23});
  SeqDataLoader(torch::zeros({35}, torch::kUInt8), {.batch_size = 1, .num_steps = 34});
  SeqDataLoader(torch::zeros({45}, torch::kUInt8), {.batch_size = 1, .offset = 9});
}

}  // namespace
}  // namespace unroll
