#include "text/fingerprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

// What `xxhsum -H2` prints for these bytes.
TEST(Fingerprint, IsXxh3Of128Bits) {
  EXPECT_EQ(fingerprint_of("").hash, "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(fingerprint_of("").bytes, 0);
}

TEST(Fingerprint, DoesNotDependOnWhereBytesAreCut) {
  const std::string bytes = std::string(3000, 'a') + '\0' + std::string(2000, '\xff');
  for (const std::size_t size : {1, 7, 256, 4999}) {
    Fingerprinter fingerprinter;
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      fingerprinter.feed(std::string_view(bytes).substr(at, size));
    }
    EXPECT_EQ(fingerprinter.fingerprint(), fingerprint_of(bytes)) << size;
  }
  EXPECT_EQ(fingerprint_of(bytes).bytes, 5001);
}

TEST(Fingerprint, OneBitTellsTextsApart) {
  EXPECT_NE(fingerprint_of("time"), fingerprint_of("time "));
  EXPECT_NE(fingerprint_of("time").hash, fingerprint_of("tile").hash);
}

TEST(Fingerprint, OfFilesIsThatOfTheirBytesInOrder) {
  const TempFolder folder;
  const std::string long_text(1'500'000, 'x');
  const auto one = folder.write("one", long_text);
  const auto two = folder.write("two", std::string("a\0", 2));
  Fingerprinter joined;
  joined.feed(long_text);
  joined.end_file();
  joined.feed(std::string_view("a\0", 2));
  joined.end_file();
  EXPECT_EQ(joined.fingerprint().bytes, 1'500'002);
  EXPECT_EQ(fingerprint_of_files({one}), fingerprint_of(long_text));
  int64_t read = 0;
  EXPECT_EQ(fingerprint_of_files({one, two},
                                 [&](const ReadProgress& progress) {
                                   EXPECT_GT(progress.bytes, read);
                                   EXPECT_EQ(progress.total_bytes, 1'500'002);
                                   read = progress.bytes;
                                 }),
            joined.fingerprint());
  EXPECT_EQ(read, 1'500'002);
  EXPECT_NE(fingerprint_of_files({two, one}), fingerprint_of_files({one, two}));
  const auto both = folder.write("both", long_text + std::string("a\0", 2));
  EXPECT_NE(fingerprint_of_files({both}), fingerprint_of_files({one, two}));
  EXPECT_THAT(thrown<Error>([&] { fingerprint_of_files({folder / "missing"}); }),
              HasSubstr("missing"));
}

}  // namespace
}  // namespace unroll
