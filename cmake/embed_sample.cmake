# Writes the file INPUT as a C++ source OUTPUT that defines unroll::sample_text().
# Raw string literals of at most 8000 bytes each: compilers need not take more
# than 65536 characters in one.
file(READ "${INPUT}" rest)
set(literals "")
string(LENGTH "${rest}" left)
while(left GREATER 0)
  string(SUBSTRING "${rest}" 0 8000 piece)
  string(APPEND literals "    R\"sample(${piece})sample\"\n")
  if(left GREATER 8000)
    string(SUBSTRING "${rest}" 8000 -1 rest)
    math(EXPR left "${left} - 8000")
  else()
    set(left 0)
  endif()
endwhile()
file(WRITE "${OUTPUT}" "// Declared in unroll/corpus.h, whose LibTorch this does without.
#include <string_view>

namespace unroll {

std::string_view sample_text() {
  static constexpr std::string_view kText =
${literals}      ;
  return kText;
}

}  // namespace unroll
")
