#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "unroll/text.h"

namespace unroll {

/// A byte of a text that is no part of a character.
struct UnreadableByte {
  std::string file = {};   ///< as text_name returns it
  int64_t line = 0;        ///< from 1
  int64_t offset = 0;      ///< in the file, from 0
  unsigned char byte = 0;  ///< the first of those that belong together; 0: a NUL
};

/// What a text's bytes are, before anything is made of them.
struct TextSurvey {
  int64_t bytes = 0;
  int64_t characters = 0;                   ///< code points
  int64_t lines = 0;                        ///< ended by LF, CR LF or CR, or by the file
  int64_t longest_line = 0;                 ///< in code points
  int64_t ill_formed = 0;                   ///< sequences that are not UTF-8
  int64_t nuls = 0;                         ///< NUL bytes, the mark of a binary file
  std::vector<UnreadableByte> places = {};  ///< of the first few of both
};

/// Looks at files of any bytes. Throws Error as read_blocks does with NulBytes::kAllow.
TextSurvey survey_text(const std::vector<std::filesystem::path>& paths,
                       const ReadCallback& on_read = {});

}  // namespace unroll
