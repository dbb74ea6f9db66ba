#include "report/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstring>

#include "base/formatted.h"
#include "base/write_all.h"
#include "report/protobuf.h"
#include "report/visible_text.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// What TensorBoard knows an event file by; Unix seconds follow.
constexpr std::string_view kPrefix = "events.out.tfevents.";

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Makes the folder, and returns the seconds in the name of its newest event file; 0 if there is
// none.
int64_t newest_in(const std::filesystem::path& folder) {
  try {
    std::filesystem::create_directories(folder);
    int64_t newest = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const auto name = entry.path().filename().string();
      if (name.starts_with(kPrefix)) {
        int64_t seconds = 0;
        std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), seconds);
        newest = std::max(newest, seconds);
      }
    }
    return newest;
  } catch (const std::filesystem::filesystem_error& error) {
    throw Error(
        formatted("{}: cannot be used as a folder: {}", folder.string(), error.code().message()));
  }
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

// The remainders of the bytes by the polynomial of CRC-32C (RFC 3720, section 12.1), bits reversed.
constexpr auto kRemainders = [] {
  std::array<uint32_t, 256> remainders{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    auto remainder = byte;
    for (int bit = 0; bit < 8; ++bit) {
      remainder = remainder >> 1 ^ (remainder & 1 ? 0x82F63B78 : 0);
    }
    remainders[byte] = remainder;
  }
  return remainders;
}();

// A CRC-32C as a TFRecord holds it.
uint32_t masked_crc32c(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc = crc >> 8 ^ kRemainders[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8;
}

// A TFRecord: the length, its checksum, the bytes, their checksum.
std::string record(const ProtobufMessage& event) {
  std::string bytes;
  append_little_endian(bytes, event.bytes().size(), 8);
  append_little_endian(bytes, masked_crc32c(bytes), 4);
  bytes += event.bytes();
  append_little_endian(bytes, masked_crc32c(event.bytes()), 4);
  return bytes;
}

// An Event that happens now: {double wall_time = 1; int64 step = 2}, and one of the fields below.
ProtobufMessage event_at(int64_t step) {
  return ProtobufMessage().float64(1, unix_seconds()).integer(2, step);
}

// Event.file_version = 3.
std::string file_version() { return record(event_at(0).string(3, "brain.Event:2")); }

// Event.session_log = 7: {status = 1} with START = 1.
std::string session_start(int64_t step) {
  return record(event_at(step).message(7, ProtobufMessage().integer(1, 1)));
}

// Event.summary = 5: {repeated Value value = 1}.
std::string summary_record(int64_t step, const ProtobufMessage& summary) {
  return record(event_at(step).message(5, summary));
}

// A block of code in Markdown.
std::string as_code(std::string_view text) {
  constexpr std::string_view kIndent = "    ";
  std::string code(kIndent);
  for (const char c : visible(text, "\n\t")) {
    code += c;
    if (c == '\n') {
      code += kIndent;
    }
  }
  return code;
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder, int64_t first_step)
    : EventFile(folder, newest_in(folder), static_cast<int64_t>(unix_seconds())) {
  append(file_version() + session_start(first_step));
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t newest, int64_t now)
    : is_first_(newest == 0),
      path_(folder / formatted("{}{}.{}.{}.unroll", kPrefix, std::max(now, newest + 1), host_name(),
                               getpid())),
      descriptor_(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) {
    fail("cannot be written");
  }
}

EventFile::~EventFile() { close(descriptor_); }

void EventFile::write(int64_t step, const std::vector<Scalar>& scalars) {
  ProtobufMessage summary;
  for (const auto& [tag, value] : scalars) {
    // Value {string tag = 1; float simple_value = 2}
    summary.message(1, ProtobufMessage().string(1, tag).float32(2, static_cast<float>(value)));
  }
  append(summary_record(step, summary));
}

void EventFile::write_text(int64_t step, std::string_view tag, std::string_view text) {
  constexpr int64_t kString = 7;  // DT_STRING
  // SummaryMetadata {PluginData plugin_data = 1 {string plugin_name = 1}}
  const auto metadata = ProtobufMessage().message(1, ProtobufMessage().string(1, "text"));
  // TensorProto {DataType dtype = 1; TensorShapeProto tensor_shape = 2; bytes string_val = 8}
  const auto tensor = ProtobufMessage().integer(1, kString).message(2, {}).string(8, as_code(text));
  // Value {string tag = 1; TensorProto tensor = 8; SummaryMetadata metadata = 9}
  const auto value = ProtobufMessage().string(1, tag).message(8, tensor).message(9, metadata);
  append(summary_record(step, ProtobufMessage().message(1, value)));
}

void EventFile::sync() {
  if (fsync(descriptor_) != 0) {
    fail("cannot be synced");
  }
}

void EventFile::append(const std::string& records) {
  if (!write_all(descriptor_, records)) {
    fail("cannot be written");
  }
}

void EventFile::fail(const char* what) const {
  throw Error(formatted("{}: {}: {}", path_, what, std::strerror(errno)));
}

}  // namespace unroll
