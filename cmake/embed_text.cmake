# Writes a C++ source OUTPUT that defines, for each pair in TEXTS ("sample_text=data/sample.txt;..."), a function of the name that
# returns the file's text. Raw string literals of at most 8000 bytes each: compilers need not take more than 65536 characters in one.
set(functions "")
foreach(pair IN LISTS TEXTS)
  string(REGEX MATCH "^([^=]+)=(.+)$" matched "${pair}")
  set(name "${CMAKE_MATCH_1}")
  file(READ "${CMAKE_MATCH_2}" rest)
  set(literals "")
  string(LENGTH "${rest}" left)
  while(left GREATER 0)
    string(SUBSTRING "${rest}" 0 8000 piece)
    string(APPEND literals "    R\"embedded(${piece})embedded\"\n")
    if(left GREATER 8000)
      string(SUBSTRING "${rest}" 8000 -1 rest)
      math(EXPR left "${left} - 8000")
    else()
      set(left 0)
    endif()
  endwhile()
  string(APPEND functions "
std::string_view ${name}() {
  static constexpr std::string_view kText =
${literals}      ;
  return kText;
}
")
endforeach()
file(WRITE "${OUTPUT}" "// Declared in headers of unroll, whose LibTorch this does without.
#include <string_view>

namespace unroll {
${functions}
}  // namespace unroll
")
