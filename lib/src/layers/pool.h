#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace unroll {

/// Objects whose memory serves again: one that was taken comes back when nobody else holds it. For
/// one thread at a time.
template <typename T>
class Pool {
 public:
  explicit Pool(std::function<std::shared_ptr<T>()> make) : make_(std::move(make)) {}

  /// Where kMost are in use, makes another, which does not come back.
  std::shared_ptr<T> take() {
    const auto free = std::find_if(all_.begin(), all_.end(),
                                   [](const auto& object) { return object.use_count() == 1; });
    if (free != all_.end()) {
      return *free;
    }
    auto made = make_();
    if (all_.size() < kMost) {
      all_.push_back(made);
    }
    return made;
  }

 private:
  static constexpr std::size_t kMost = 4;

  std::function<std::shared_ptr<T>()> make_;
  std::vector<std::shared_ptr<T>> all_;
};

}  // namespace unroll
