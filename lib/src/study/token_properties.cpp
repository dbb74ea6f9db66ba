#include "study/token_properties.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <span>
#include <string_view>
#include <utility>

#include "data/token_row.h"
#include "study/token_class.h"
#include "text/utf8.h"

namespace unroll {
namespace {

using Texts = std::vector<std::string_view>;  // of a text's tokens, empty of an unknown one

constexpr std::ptrdiff_t kFewest = 10;

template <typename Measure>
std::vector<double> measured(const Texts& texts, const Measure& measure) {
  std::vector<double> values(texts.size());
  std::transform(texts.begin(), texts.end(), values.begin(), measure);
  return values;
}

// How many tokens there have been since one of a class, which itself has 0.
std::vector<double> tokens_since(const Texts& texts, bool (*contains)(std::string_view),
                                 double most) {
  return measured(texts, [&, since = 0.0](std::string_view token) mutable {
    return since = contains(token) ? 0 : std::min(since + 1, most);
  });
}

// Whether a text is inside something, of which `turn` says how a character changes that. Two line
// ends end a paragraph: a mark that nothing closes is forgotten there.
std::vector<double> inside(const Texts& texts, bool (*turn)(bool is_inside, int32_t code_point)) {
  return measured(texts, [&, is_inside = false, after_end = false](std::string_view token) mutable {
    is_inside = is_inside && !(after_end && is_line_end(token));
    after_end = is_line_end(token);
    for (; !token.empty(); token.remove_prefix(first_unit(token).size)) {
      is_inside = turn(is_inside, first_unit(token).code_point);
    }
    return is_inside ? 1.0 : 0.0;
  });
}

bool turn_at_quotation_marks(bool is_inside, int32_t code_point) {
  constexpr int32_t kOpening = 0x201C;
  constexpr int32_t kClosing = 0x201D;
  return code_point == '"' ? !is_inside
                           : code_point == kOpening || (is_inside && code_point != kClosing);
}

bool turn_at_parentheses(bool is_inside, int32_t code_point) {
  return code_point == '(' || (is_inside && code_point != ')');
}

bool varies_enough(const std::vector<double>& values) {
  std::map<double, std::ptrdiff_t> counts;
  std::ptrdiff_t most = 0;
  for (const double value : values) {
    most = std::max(most, ++counts[value]);
  }
  const auto others = std::ssize(values) - most;
  return others >= kFewest && others * 100 >= std::ssize(values);
}

// Collects the properties that vary enough and say what no earlier one says.
class Properties {
 public:
  void add(TokenProperty property) {
    const bool is_new = std::none_of(
        properties_.begin(), properties_.end(),
        [&](const TokenProperty& earlier) { return earlier.values == property.values; });
    if (is_new && varies_enough(property.values)) {
      properties_.push_back(std::move(property));
    }
  }

  std::vector<TokenProperty> take() { return std::move(properties_); }

 private:
  std::vector<TokenProperty> properties_;
};

// The most frequent tokens but white space, the first of them first of equally frequent ones.
Texts most_frequent(const Texts& texts) {
  constexpr std::size_t kMost = 30;
  std::map<std::string_view, int64_t> counts;
  Texts order;
  for (const auto token : texts) {
    if (!is_space(token) && ++counts[token] == 1) {
      order.push_back(token);
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](std::string_view a, std::string_view b) {
    return counts.at(a) > counts.at(b);
  });
  order.resize(std::min(order.size(), kMost));
  return order;
}

}  // namespace

std::vector<TokenProperty> token_properties(const torch::Tensor& tokens, const Vocab& vocab) {
  check_token_row(tokens);
  const auto indices = tokens.to(torch::kCPU, torch::kInt64).contiguous();
  Texts texts;
  for (const auto index : std::span(indices.const_data_ptr<int64_t>(), indices.numel())) {
    texts.push_back(index == Vocab::unk() ? std::string_view() : vocab.to_token(index));
  }
  Properties properties;
  for (const auto& [name, contains] : token_classes(vocab.kind())) {
    properties.add({name, measured(texts, contains)});
  }
  if (vocab.kind() == TokenKind::kWord) {
    properties.add({"the length of the word", measured(texts, count_code_points)});
  } else {
    constexpr double kMost = 10;
    properties.add({"the position in the word", tokens_since(texts, is_space, kMost), true});
  }
  if (std::count_if(texts.begin(), texts.end(), is_line_end) >= kFewest) {
    constexpr double kMost = std::numeric_limits<double>::infinity();
    properties.add({"the position in the line", tokens_since(texts, is_line_end, kMost), true});
  }
  properties.add({"being inside quotation marks", inside(texts, turn_at_quotation_marks), true});
  properties.add({"being inside parentheses", inside(texts, turn_at_parentheses), true});
  for (const auto frequent : most_frequent(texts)) {
    const auto is_this = [&](std::string_view token) { return token == frequent ? 1.0 : 0.0; };
    properties.add({name_of_token(frequent, vocab.kind()), measured(texts, is_this)});
  }
  return properties.take();
}

}  // namespace unroll
