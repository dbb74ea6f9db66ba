#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "unroll/tensors.h"

namespace unroll {

/// Writes the checkpoint in `whole` to `changed`, with one part of its config's text replaced.
inline void change_config(const std::filesystem::path& whole, const std::filesystem::path& changed,
                          const std::string& from, const std::string& to) {
  auto content = load_safetensors(whole);
  auto& config = content.metadata.at("config");
  const auto at = config.find(from);
  EXPECT_NE(at, std::string::npos) << from << " is not in " << config;
  config.replace(at, from.size(), to);
  save_safetensors(changed, content);
}

}  // namespace unroll
