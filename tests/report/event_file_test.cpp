#include "report/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <map>

#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using std::string_literals::operator""s;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// Bit by bit, from the polynomial alone.
uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82F63B78 : crc >> 1;
    }
  }
  return crc ^ 0xFFFFFFFF;
}

template <typename Number>
Number number_at(std::string_view bytes, std::size_t at) {
  Number number{};
  std::memcpy(&number, bytes.substr(at, sizeof(Number)).data(), sizeof(Number));
  return number;
}

// Whether the checksum at `at` is that of `bytes`.
void expect_checksum(std::string_view content, std::size_t at, std::string_view bytes) {
  const auto masked = number_at<uint32_t>(content, at) - 0xA282EAD8;
  EXPECT_EQ(masked << 15 | masked >> 17, crc32c(bytes)) << "at " << at;
}

// The data of a file's records.
std::vector<std::string> records(const std::filesystem::path& file) {
  const auto content = content_of(file);
  std::vector<std::string> found;
  for (std::size_t at = 0; at < content.size();) {
    const auto length = number_at<uint64_t>(content, at);
    found.push_back(content.substr(at + 12, length));
    expect_checksum(content, at + 8, content.substr(at, 8));
    expect_checksum(content, at + 12 + length, found.back());
    at += 12 + length + 4;
  }
  return found;
}

// Those of the folder's newest file, without the time with which each begins.
std::vector<std::string> events(const std::filesystem::path& folder) {
  std::filesystem::path newest;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    newest = std::max(newest, entry.path());
  }
  auto found = records(newest);
  for (auto& event : found) {
    EXPECT_EQ(event.front(), '\x09');
    event.erase(0, 9);
  }
  return found;
}

// While it lives no file grows beyond so many bytes.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit limit{bytes, limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &limit_);
    signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  void (*handler_)(int);
  rlimit limit_{};
};

TEST(EventFile, ChecksumsAreThePublishedOnes) { EXPECT_EQ(crc32c("123456789"), 0xE3069283); }

TEST(EventFile, BeginsWithItsVersionAndASession) {
  for (const auto& [step, encoded] :
       std::map<int64_t, std::string>{{1, "\x01"}, {128, "\x80\x01"}, {300, "\xAC\x02"}}) {
    const TempFolder folder;
    const EventFile file(folder.path(), step);
    EXPECT_THAT(events(folder.path()), ElementsAre("\x10\x00\x1A\x0D"
                                                   "brain.Event:2"s,
                                                   "\x10" + encoded + "\x3A\x02\x08\x01"));
  }
}

TEST(EventFile, EventsAreEncodedAsTheirMessagesSay) {
  const TempFolder folder;
  EventFile file(folder.path(), 1);
  file.write(7, {{"loss", 0.5}, {"lr", -2}});
  file.write_text(8, "sample", "a\nb");
  const auto found = events(folder.path());
  ASSERT_EQ(found.size(), 4);
  EXPECT_EQ(found[2],
            "\x10\x07\x2A\x18"
            "\x0A\x0B\x0A\x04loss\x15\x00\x00\x00\x3F"
            "\x0A\x09\x0A\x02lr\x15\x00\x00\x00\xC0"s);
  EXPECT_EQ(found[3],
            "\x10\x08\x2A\x27\x0A\x25"
            "\x0A\x06sample"
            "\x42\x11\x08\x07\x12\x00\x42\x0B    a\n    b"
            "\x4A\x08\x0A\x06\x0A\x04text"s);
}

TEST(EventFile, TimesAreThoseOfTheEvents) {
  const auto now = [] {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration<double>(since).count();
  };
  const TempFolder folder;
  const auto before = now();
  EventFile(folder.path(), 1).write(1, {{"loss", 0.5}});
  const auto after = now();
  for (const auto& event : records(std::filesystem::directory_iterator(folder.path())->path())) {
    const auto time = number_at<double>(event, 1);
    EXPECT_LE(before, time);
    EXPECT_LE(time, after);
  }
}

TEST(EventFile, RecordsOfAnyLengthAreFramed) {
  const TempFolder folder;
  EventFile file(folder.path(), 1);
  for (std::size_t length = 0; length < 600; length += 7) {
    file.write_text(1, "sample", std::string(length, 'x'));
    ASSERT_THAT(events(folder.path()).back(), HasSubstr("    " + std::string(length, 'x')));
  }
}

TEST(EventFile, AnyTextIsShownAsATerminalShowsIt) {
  const TempFolder folder;
  EventFile file(folder.path(), 1);
  file.write_text(1, "sample", "\xFF\r# a\0\t\xC3\xA4\n\n<b>"s);
  EXPECT_THAT(events(folder.path()).back(),
              HasSubstr("    \\xff\u240D# a\u2400\t\u00E4\n    \n    <b>"));
}

TEST(EventFile, FoldersAreMadeAndFilesSortAsTheyAreMade) {
  const TempFolder folder;
  const auto run = folder / "runs" / "first";
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(EventFile(run, i + 1).is_first(), i == 0);
    EXPECT_THAT(events(run).back(), EndsWith("\x3A\x02\x08\x01"));
    EXPECT_EQ(events(run).back()[1], i + 1);  // the newest by name is the newest
  }
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    EXPECT_THAT(entry.path().filename().string(),
                MatchesRegex("events\\.out\\.tfevents\\.[0-9]+\\..+\\.[0-9]+\\.unroll"));
  }
}

TEST(EventFile, WhereNothingCanBeWrittenIsAnErrorThatNamesIt) {
  const TempFolder folder;
  const auto file = folder.write("file", "kept");
  EXPECT_THAT(thrown<Error>([&] { EventFile(file, 1); }), HasSubstr("file: cannot be used"));
  EXPECT_THAT(thrown<Error>([&] { EventFile(file / "run", 1); }), HasSubstr("file/run: cannot be"));
  EXPECT_EQ(content_of(file), "kept");
  EXPECT_THAT(thrown<Error>([&] { EventFile("/proc", 1); }),
              AllOf(HasSubstr("/proc/events.out.tfevents."), HasSubstr("cannot be written")));
}

TEST(EventFile, AFullDiskIsAnErrorThatNamesIt) {
  const TempFolder folder;
  EventFile file(folder.path(), 1);
  std::string message;
  {
    const FileSizeLimit limit(200);
    message = thrown<Error>([&] { file.write_text(1, "sample", std::string(200, 'x')); });
  }
  EXPECT_THAT(message, AllOf(HasSubstr(folder.path().string() + "/events.out.tfevents."),
                             HasSubstr("cannot be written: ")));
}

}  // namespace
}  // namespace unroll
