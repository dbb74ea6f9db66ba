#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "unroll/generate.h"
#include "unroll/model.h"
#include "unroll/vocab.h"

namespace unroll::app {

/// How texts are written.
struct WriterSettings {
  int64_t length = 0;          ///< tokens that a prompt is continued by
  std::size_t samples = 1;     ///< texts for each prompt
  std::string separator = {};  ///< after each text
  bool json = false;           ///< an object for each text instead
};

/// Continues prompts and prints each text to stdout; a text alone is printed as it grows.
class TextWriter {
 public:
  TextWriter(SequenceModel& net, const Vocab& vocab, WriterSettings settings)
      : net_(net), vocab_(vocab), settings_(std::move(settings)) {}

  /// Throws Error once nobody takes what is printed any more.
  void write(const std::vector<std::string>& prompts, const GenerateOptions& options);

 private:
  void write_group(const std::vector<std::string>& prompts, const GenerateOptions& options);
  std::vector<std::string> continued(const std::vector<std::string>& prompts,
                                     const GenerateOptions& options,
                                     const TokenCallback& on_token = {});
  void stream(const std::string& prompt, const GenerateOptions& options);
  void write_objects(const std::vector<std::string>& prompts, const GenerateOptions& options);

  SequenceModel& net_;
  const Vocab& vocab_;
  WriterSettings settings_;
};

}  // namespace unroll::app
