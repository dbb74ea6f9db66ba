#include "unroll/indexed_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "unroll/error.h"

namespace unroll {
namespace {

// Calls on_token with each token, and on_block after each block of the file.
void tokenize_file(
    const std::filesystem::path& path, const TextOptions& text,
    const std::function<void(std::string_view)>& on_token,
    const std::function<void()>& on_block = [] {}) {
  const auto naming_the_file = [&](const auto& work) {
    try {
      work();
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", path.string(), error.what()));
    }
  };
  bool empty = true;
  Tokenizer tokenizer(text, [&](std::string_view token) {
    empty = false;
    on_token(token);
  });
  const bool may_be_binary = text.tokens == TokenKind::kByte && text.normalize == Normalize::kNone;
  read_blocks(path, may_be_binary ? NulBytes::kAllow : NulBytes::kRefuse,
              [&](std::string_view block) {
                naming_the_file([&] { tokenizer.feed(block); });
                on_block();
              });
  naming_the_file([&] { tokenizer.finish(); });
  on_block();
  if (empty) {
    throw Error(fmt::format("{}: has no token, expected a text", path.string()));
  }
}

// Of a token and the space that stands between two words of a line.
int64_t characters_of(std::string_view token, TokenKind kind, bool begins_line) {
  if (kind != TokenKind::kWord) {
    return 1;
  }
  constexpr auto kBegins = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
  const auto code_points = std::count_if(token.begin(), token.end(), kBegins);
  return begins_line || token == "\n" ? code_points : code_points + 1;
}

}  // namespace

IndexedText read_indexed_text(const std::filesystem::path& path, const TextOptions& text,
                              const Vocab& vocab) {
  IndexedText result;
  std::vector<int32_t> indices;
  bool begins_line = true;
  tokenize_file(path, text, [&](std::string_view token) {
    if (!indices.empty()) {
      result.characters += characters_of(token, text.tokens, begins_line);
    }
    begins_line = token == "\n";
    indices.push_back(static_cast<int32_t>(vocab[token]));
    result.unknown += indices.back() == Vocab::unk() ? 1 : 0;
  });
  result.indices = torch::tensor(indices, torch::kInt32);
  return result;
}

void stream_indices(const std::filesystem::path& path, const TextOptions& text, const Vocab& vocab,
                    const std::function<void(std::span<const int64_t>)>& sink) {
  std::vector<int64_t> block;
  tokenize_file(
      path, text, [&](std::string_view token) { block.push_back(vocab[token]); },
      [&] {
        sink(block);
        block.clear();
      });
}

}  // namespace unroll
