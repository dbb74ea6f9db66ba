#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <typeinfo>

namespace unroll {

/// The message of the exception that `f` throws; the test fails unless it is exactly an E.
template <typename E, typename F>
std::string thrown(const F& f) {
  try {
    f();
  } catch (const std::exception& error) {
    EXPECT_EQ(typeid(error).name(), typeid(E).name()) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace unroll
