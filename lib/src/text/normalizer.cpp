#include "text/normalizer.h"

#include <array>
#include <cstring>

#include "base/formatted.h"
#include "text/utf8.h"
#include "unroll/error.h"

namespace unroll {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Lower-case letter of each byte, 0 for a byte that is no letter.
constexpr std::array<char, 256> kLetterOf = [] {
  std::array<char, 256> table{};
  for (int c = 'a'; c <= 'z'; ++c) {
    table[c] = static_cast<char>(c);
    table[c - 'a' + 'A'] = static_cast<char>(c);
  }
  return table;
}();

// How many bytes at the front are ASCII.
std::size_t ascii_size(std::string_view text) {
  uint64_t bytes = 0;
  std::size_t at = 0;
  for (; at + sizeof(bytes) <= text.size(); at += sizeof(bytes)) {
    std::memcpy(&bytes, text.data() + at, sizeof(bytes));
    if ((bytes & 0x8080808080808080U) != 0) {
      break;
    }
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) {
    ++at;
  }
  return at;
}

}  // namespace

// Takes the units of the next piece by `put`, which is given a text and an end, takes what begins
// before that end and is whole, and returns how many bytes. What is left waits for the next piece.
template <typename Put>
void Normalizer::take_units(std::string_view block, const Put& put) {
  if (!held_.empty()) {
    // No code point is longer than what is added here, so a held one ends or the block does.
    const auto held = held_.size();
    held_.append(block.substr(0, 4));
    const auto taken = put(std::string_view(held_), held);
    if (taken < held) {
      return;
    }
    held_.clear();
    block.remove_prefix(taken - held);
  }
  held_ = block.substr(put(block, block.size()));
}

std::string_view Normalizer::feed(std::string_view block) {
  if (options_.normalize == Normalize::kLetters) {
    if (options_.invalid_utf8 == InvalidUtf8::kRefuse) {
      take_units(block,
                 [this](std::string_view text, std::size_t end) { return check_units(text, end); });
    }
    put_letters(block);
    return letters_;
  }
  if (options_.tokens == TokenKind::kByte) {
    return block;
  }
  characters_.drop_ready();
  take_units(block,
             [this](std::string_view text, std::size_t end) { return put_characters(text, end); });
  return characters_.ready();
}

std::string_view Normalizer::end_file() {
  characters_.drop_ready();
  if (held_ == "\r") {
    characters_.append_staying("\n", 0);
  } else if (!held_.empty()) {
    put_invalid(held_, offset_);
  }
  held_.clear();
  offset_ = 0;
  return characters_.ready();
}

std::string_view Normalizer::finish() {
  characters_.drop_ready();
  characters_.finish();
  return characters_.ready();
}

// Without a branch, since no one can guess where a word ends, and on copies, which no write to the
// letters can be about: twice as fast as the plain loop, and an index by word takes a sixth less
// time (scripts/bench_corpus --tokens word).
void Normalizer::put_letters(std::string_view block) {
  // A space may come first, for what an earlier block dropped; and a byte is written before it is
  // known to stay.
  letters_.resize(block.size() + 2);
  auto* at = letters_.data();
  const bool by_line = options_.tokens != TokenKind::kWord;  // else its end is one more gap
  bool line_began = line_began_;
  bool gap = gap_;
  for (const char c : block) {
    const char letter = kLetterOf[static_cast<unsigned char>(c)];
    const bool is_letter = letter != 0;
    const bool ends_line = ((c == '\n') | (c == '\r')) & by_line;
    *at = ' ';
    at += static_cast<int>(is_letter & gap & line_began);
    *at = letter;
    at += static_cast<int>(is_letter);
    gap = !(is_letter | ends_line);
    line_began = is_letter | (line_began & !ends_line);
  }
  line_began_ = line_began;
  gap_ = gap;
  letters_.resize(static_cast<std::size_t>(at - letters_.data()));
}

// Of units whose letters alone are kept.
std::size_t Normalizer::check_units(std::string_view text, std::size_t end) {
  std::size_t at = 0;
  while (at < end) {
    at += ascii_size(text.substr(at, end - at));
    if (at == end) {
      break;
    }
    const auto unit = first_unit(text.substr(at));
    if (unit.state == Utf8Unit::State::kIncomplete) {
      break;
    }
    if (unit.state == Utf8Unit::State::kIllFormed) {
      put_invalid(text.substr(at), offset_ + static_cast<int64_t>(at));
    }
    at += unit.size;
  }
  offset_ += static_cast<int64_t>(at);
  return at;
}

// Takes the text up to `end`, or to the first unit before it that may not stay as it is; returns
// how many bytes. All at once: a call for each character would cost more than all the rest.
std::size_t Normalizer::put_staying(std::string_view text, std::size_t end) {
  std::size_t at = 0;
  std::size_t last = 0;
  while (at < end && text[at] != '\r') {
    const auto unit = first_unit(text.substr(at));
    if (unit.state != Utf8Unit::State::kWhole || !characters_.stays(unit.code_point)) {
      break;
    }
    last = at;
    at += unit.size;
  }
  if (at > 0) {
    characters_.append_staying(text.substr(0, at), last);
  }
  return at;
}

// Takes the units that begin before `end` and are whole; returns how many bytes they are.
std::size_t Normalizer::put_characters(std::string_view text, std::size_t end) {
  std::size_t at = offset_ == 0 && text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  while (at < end) {
    at += put_staying(text.substr(at), end - at);
    if (at >= end) {
      break;
    }
    if (text[at] == '\r') {
      if (at + 1 == text.size()) {
        break;
      }
      if (text[at + 1] != '\n') {
        characters_.append_staying("\n", 0);
      }
      ++at;
      continue;
    }
    const auto unit = first_unit(text.substr(at));
    if (unit.state == Utf8Unit::State::kIncomplete) {
      break;
    }
    const auto bytes = text.substr(at, unit.size);
    if (unit.state == Utf8Unit::State::kWhole) {
      characters_.append(unit.code_point, bytes);
    } else {
      put_invalid(bytes, offset_ + static_cast<int64_t>(at));
    }
    at += unit.size;
  }
  offset_ += static_cast<int64_t>(at);
  return at;
}

void Normalizer::put_invalid(std::string_view bytes, int64_t offset) {
  if (options_.invalid_utf8 == InvalidUtf8::kRefuse) {
    throw InvalidUtf8Error(formatted("byte {} (0x{:02x}) is not valid UTF-8", offset,
                                     static_cast<unsigned char>(bytes.front())));
  }
  characters_.append(kReplacement, kReplacementUtf8);
}

}  // namespace unroll
