#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace unroll {

/// A named figure.
struct Scalar {
  std::string tag;  ///< UTF-8; TensorBoard groups tags by what stands before a slash
  double value = 0;
};

/// A file of events as TensorBoard reads them: TFRecords
/// (https://www.tensorflow.org/tutorials/load_data/tfrecord), each of them a message `Event`
/// (https://github.com/tensorflow/tensorboard, compat/proto/event.proto).
///
/// A folder is a run and may hold several files, of which TensorBoard reads one after the other, in
/// the order of their names.
class EventFile {
 public:
  /// Makes a file in `folder`, which is made where it is not there. The file's name sorts after
  /// those that are there, whatever the clock says. TensorBoard drops what they hold of
  /// `first_step` and later steps.
  /// Throws Error, naming the folder or the file, when it cannot be written.
  EventFile(const std::filesystem::path& folder, int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// Whether the folder held no such file before.
  bool is_first() const { return is_first_; }

  /// Adds figures of a step, as float32; whole in the file when it returns. The steps of a tag must
  /// increase, as TensorBoard keeps the last of equal ones. Throws Error, naming the file, which
  /// takes no more then.
  void write(int64_t step, const std::vector<Scalar>& scalars);

  /// The same for a text of any bytes. TensorBoard shows it as a terminal does (visible_text.h):
  /// neither its Markdown nor its HTML is obeyed.
  void write_text(int64_t step, std::string_view tag, std::string_view text);

  /// Waits until all is on the disk itself. Throws Error, naming the file.
  void sync();

 private:
  // Opens the file: once that is done the destructor closes it, whatever is thrown next.
  EventFile(const std::filesystem::path& folder, int64_t newest, int64_t now);
  void append(const std::string& records);
  [[noreturn]] void fail(const char* what) const;

  bool is_first_;
  std::string path_;
  int descriptor_;
};

}  // namespace unroll
