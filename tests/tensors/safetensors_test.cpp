#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstring>

#include "base/atomic_file.h"
#include "base/formatted.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

// A file as the format has it: length of the header, header, data.
std::string file_of(const std::string& header, const std::string& data = "",
                    std::optional<uint64_t> length = {}) {
  const uint64_t size = length.value_or(header.size());
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + data;
}

std::string refused(const TempFolder& folder, const std::string& bytes) {
  const auto path = folder.write("bad.safetensors", bytes);
  const auto message = thrown<Error>([&] { load_safetensors(path); });
  EXPECT_THAT(message, HasSubstr("bad.safetensors"));
  return message;
}

TEST(Safetensors, EveryTypeSurvivesTheRoundTrip) {
  const TempFolder folder;
  SafeTensors content;
  for (const auto dtype :
       {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kInt64,
        torch::kInt32, torch::kInt16, torch::kInt8, torch::kUInt8, torch::kBool}) {
    content.tensors.push_back(
        {std::string(torch::toString(dtype)), torch::randint(2, {3, 5}, torch::kInt64).to(dtype)});
  }
  content.tensors.push_back({"scalar", torch::tensor(2.5)});
  content.tensors.push_back({"empty", torch::empty({0, 4})});
  content.tensors.push_back({"transposed", torch::rand({2, 3}).t()});
  content.tensors.push_back({"learns", torch::rand({2}, torch::requires_grad())});
  content.metadata = {{"format", "test"}, {"text", "\"quoted\"\n\xc3\xa9"}};
  save_safetensors(folder / "all.safetensors", content);

  for (const auto& loaded : {load_safetensors(folder / "all.safetensors"),
                             map_safetensors(folder / "all.safetensors")}) {
    EXPECT_EQ(loaded.metadata, content.metadata);
    ASSERT_EQ(loaded.tensors.size(), content.tensors.size());
    for (const auto& [name, tensor] : content.tensors) {
      const auto& read = tensor_named(loaded.tensors, name);
      EXPECT_EQ(read.scalar_type(), tensor.scalar_type()) << name;
      EXPECT_TRUE(torch::equal(read, tensor)) << name;
    }
  }
  EXPECT_EQ(folder.size(), 1);
}

TEST(Safetensors, WhatIsMappedOutlivesItsFileAndNeverChangesIt) {
  const TempFolder folder;
  const auto path = folder / "mapped.safetensors";
  save_safetensors(path, {{{"W", torch::arange(5)}, {"b", torch::ones({3})}}, {}});
  const auto before = content_of(path);
  auto W = tensor_named(map_safetensors(path).tensors, "W");
  W.add_(1);
  EXPECT_TRUE(W.equal(torch::arange(1, 6)));
  EXPECT_EQ(content_of(path), before);
  save_safetensors(path, {{{"W", torch::zeros({5})}}, {}});
  EXPECT_TRUE(W.equal(torch::arange(1, 6)));
  std::filesystem::remove(path);
  EXPECT_TRUE(W.equal(torch::arange(1, 6)));
}

TEST(Safetensors, WhatIsMappedIsCheckedLikewise) {
  const TempFolder folder;
  save_safetensors(folder / "whole.safetensors", {{{"W", torch::rand({4, 8})}}, {}});
  const auto whole = content_of(folder / "whole.safetensors");
  const auto cut = folder.write("cut.safetensors", whole.substr(0, whole.size() - 1));
  EXPECT_THAT(thrown<Error>([&] { map_safetensors(cut); }),
              ::testing::HasSubstr("cut.safetensors"));
}

TEST(Safetensors, NothingIsAFileToo) {
  const TempFolder folder;
  save_safetensors(folder / "empty.safetensors", {});
  const auto loaded = load_safetensors(folder / "empty.safetensors");
  EXPECT_TRUE(loaded.tensors.empty());
  EXPECT_TRUE(loaded.metadata.empty());
}

TEST(Safetensors, ReadsTheFormatsOwnExample) {
  const TempFolder folder;
  const auto path =
      folder.write("by_hand.safetensors",
                   file_of(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},)"
                           R"("a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}   )",
                           std::string("\0\0\x80\x3f\x07\x08", 6)));
  const auto loaded = load_safetensors(path);
  EXPECT_EQ(tensor_named(loaded.tensors, "a").item<float>(), 1.0F);
  EXPECT_EQ(tensor_named(loaded.tensors, "b")[1].item<int>(), 8);
}

TEST(Safetensors, ATruncatedFileIsRefused) {
  const TempFolder folder;
  save_safetensors(folder / "whole.safetensors",
                   {{{"W", torch::rand({4, 8})}, {"b", torch::rand({8})}}, {{"format", "x"}}});
  const auto whole = content_of(folder / "whole.safetensors");
  for (int sixteenths = 0; sixteenths < 16; ++sixteenths) {
    SCOPED_TRACE(sixteenths);
    refused(folder, whole.substr(0, whole.size() * sixteenths / 16));
  }
  refused(folder, whole.substr(0, whole.size() - 1));
  refused(folder, whole + "x");
}

TEST(Safetensors, AHeaderThatDoesNotFitTheFileIsRefused) {
  const TempFolder folder;
  refused(folder, file_of("{}", "", 3));
  refused(folder, file_of("{}", "", ~uint64_t{0}));
  refused(folder, file_of("{}", "", uint64_t{1} << 63));
}

TEST(Safetensors, AHeaderThatIsNotTheFormatsIsRefused) {
  const TempFolder folder;
  for (const std::string header :
       {"", "{", "[]", "null", "{\"a\":1}", R"({"__metadata__":[]})", R"({"__metadata__":{"a":1}})",
        R"({"a":{"dtype":"F32","shape":[1]}})", R"({"a":{"shape":[],"data_offsets":[0,4]}})"}) {
    SCOPED_TRACE(header);
    refused(folder, file_of(header, "1234"));
  }
}

TEST(Safetensors, WhatTheFormatDoesNotHaveIsRefusedByName) {
  const TempFolder folder;
  const std::string tensor = R"("dtype":"U8","shape":[4],"data_offsets":[0,4])";
  const auto expect_refused = [&](const std::string& header, const std::string& what) {
    EXPECT_THAT(refused(folder, file_of(header, "1234")), HasSubstr(what)) << header;
  };
  expect_refused("{\"a\":{" + tensor + "}", "not JSON from byte");
  expect_refused("{\"a\":{" + tensor + "}} {}", "not JSON from byte");
  expect_refused("{\"a\":{" + tensor + "},\"a\":{" + tensor + "}}", "'a' stands there twice");
  expect_refused("{\"a\":{" + tensor + R"(,"dtype":"U8"}})", "'a' has dtype twice");
  expect_refused("{\"a\":{" + tensor + R"(,"strides":[1]}})", "'a' has 'strides'");
  expect_refused(R"({"__metadata__":{},"__metadata__":{}})", "twice");
  expect_refused(R"({"__metadata__":{"k":"1","k":"2"}})", "'k' twice");
  expect_refused(R"({"__metadata__":{"k":{"k":"1"}}})", "'k' is not a string");
  expect_refused(R"({"a":{"dtype":"U8","shape":[[4]],"data_offsets":[0,4]}})", "sizes");
  expect_refused(R"({"a":{"dtype":["U8"],"shape":[4],"data_offsets":[0,4]}})", "dtype");
  expect_refused(R"({"a":{"dtype":"U8","shape":{},"data_offsets":[0,4]}})", "list");
  std::string ones = "4";
  for (int i = 0; i < 64; ++i) {
    ones += ",1";
  }
  expect_refused(R"({"a":{"dtype":"U8","data_offsets":[0,4],"shape":[)" + ones + "]}}", "64 sizes");
}

TEST(Safetensors, AHeaderMayBeLongButNotDeep) {
  const TempFolder folder;
  constexpr int kTensors = 100'000;
  std::string header;
  for (int i = 0; i < kTensors; ++i) {
    header += formatted(R"({}"{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                        i == 0 ? "{" : ",", i);
  }
  const auto content = load_safetensors(folder.write("many", file_of(header + "}")));
  ASSERT_EQ(content.tensors.size(), std::size_t{kTensors});
  EXPECT_EQ(content.tensors[4321].name, "4321");

  const std::string levels(1'000'000, '[');
  refused(folder, file_of("{\"a\":" + levels));
  refused(folder, file_of(levels));
}

TEST(Safetensors, TensorsThatDoNotFitTheirBytesAreRefused) {
  const TempFolder folder;
  const auto tensor = [](const char* dtype, const char* shape, const char* offsets) {
    return formatted(R"({{"dtype":"{}","shape":{},"data_offsets":{}}})", dtype, shape, offsets);
  };
  for (const auto& bad :
       {tensor("F32", "[1]", "[0,8]"), tensor("F32", "[3]", "[0,8]"), tensor("F32", "[2]", "[8,0]"),
        tensor("F32", "[2]", "[0,12]"), tensor("F32", "[2]", "[-8,0]"),
        tensor("F32", "[2]", "[0,8,8]"), tensor("F32", "[2]", "\"0,8\""),
        tensor("F32", "[-2]", "[0,8]"), tensor("F32", "[2.0]", "[0,8]"),
        tensor("F32", "2", "[0,8]"), tensor("F3", "[2]", "[0,8]"), tensor("F32", "[0]", "[0,8]"),
        tensor("F32", "[4294967296,4294967296,2]", "[0,8]"),
        tensor("F32", "[9223372036854775808]", "[0,0]"),
        tensor("F32", "[0,4294967296,4294967296]", "[0,0]"),
        tensor("F32", "[0,9223372036854775807]", "[0,0]"),
        tensor("F32", "[0,9223372036854775807,9223372036854775807]", "[0,8]")}) {
    SCOPED_TRACE(bad);
    refused(folder, file_of("{\"a\":" + bad + "}", "12345678"));
  }
}

TEST(Safetensors, OverlapsAndGapsAreRefused) {
  const TempFolder folder;
  const auto two = [](const char* first, const char* second) {
    return file_of(formatted(R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":{}}},)"
                             R"("b":{{"dtype":"U8","shape":[4],"data_offsets":{}}}}})",
                             first, second),
                   "12345678");
  };
  EXPECT_NO_THROW(load_safetensors(folder.write("good.safetensors", two("[4,8]", "[0,4]"))));
  refused(folder, two("[0,4]", "[0,4]"));
  refused(folder, two("[0,4]", "[3,7]"));
  refused(folder, two("[0,4]", "[2,6]"));
}

TEST(Safetensors, FilesThatAreNotThereAreErrorsThatNameThem) {
  const TempFolder folder;
  EXPECT_THAT(thrown<Error>([&] { load_safetensors(folder / "missing"); }), HasSubstr("missing"));
  EXPECT_THAT(thrown<Error>([&] { load_safetensors(folder.path()); }), HasSubstr("directory"));
}

TEST(Safetensors, AFailedSaveLeavesTheOldFileAndNoOther) {
  const TempFolder folder;
  const auto path = folder / "model.safetensors";
  save_safetensors(path, {{{"W", torch::ones({2})}}, {}});
  const auto before = content_of(path);
  thrown<Error>([&] {
    save_safetensors(path, {{{"W", torch::ones({2}, torch::kComplexFloat)}}, {}});
  });
  EXPECT_EQ(content_of(path), before);
  EXPECT_EQ(folder.size(), 1);
  EXPECT_THAT(thrown<Error>([&] { save_safetensors(folder / "no/such/file", {}); }),
              HasSubstr("no/such/file"));
  thrown<Error>([&] { save_safetensors(folder.path(), {}); });
  EXPECT_EQ(folder.size(), 1);
}

TEST(Safetensors, MetadataThatIsNoUtf8IsAnError) {
  const TempFolder folder;
  EXPECT_THROW(save_safetensors(folder / "bad.safetensors", {{}, {{"text", "\xff"}}}), Error);
  EXPECT_EQ(folder.size(), 0);
}

TEST(Safetensors, WhatCouldNotBeReadIsNotWritten) {
  const TempFolder folder;
  const auto path = folder / "file";
  const auto refused = [&](const NamedTensors& tensors) {
    const auto message = thrown<Error>([&] { save_safetensors(path, {tensors, {}}); });
    EXPECT_EQ(folder.size(), 0);
    EXPECT_TRUE(message.starts_with(path.string() + ": cannot be written: ")) << message;
    return message;
  };
  const auto one = torch::ones({2});
  EXPECT_THAT(refused({{"W", one}, {"b", one}, {"W", one}}), HasSubstr("two tensors are called W"));
  EXPECT_THAT(refused({{"__metadata__", one}}), HasSubstr("no tensor may be called __metadata__"));
  EXPECT_THAT(refused({{"W", {}}}), HasSubstr("there is no tensor under the name W"));
  EXPECT_THAT(refused({{"W", torch::ones({2}, torch::kComplexFloat)}}), HasSubstr("ComplexFloat"));
}

TEST(Safetensors, SavingReplacesAFile) {
  const TempFolder folder;
  const auto path = folder.write("model.safetensors", "something else");
  save_safetensors(path, {{{"W", torch::ones({2})}}, {}});
  EXPECT_EQ(load_safetensors(path).tensors.size(), 1U);
  EXPECT_EQ(folder.size(), 1);
}

}  // namespace
}  // namespace unroll
