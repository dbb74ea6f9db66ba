# Writes a C++ source OUTPUT of texts as string literals. TEXTS: pairs ("sample_text=data/sample.txt;..."), for each a function of the
# name that returns the file's text; those of the names in PUBLIC are declared in a public header. KERNELS: files below ROOT that
# kernel_sources() returns (kernels/cuda/sources.h), by their names from there.
cmake_minimum_required(VERSION 3.25)

# Appends a file's text to the variable `result`: raw string literals of at most 8000 bytes each, as compilers need not take more than
# 65536 characters in one.
function(append_literals result file)
  file(READ "${file}" rest)
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
  set(${result} "${${result}}${literals}" PARENT_SCOPE)
endfunction()

set(functions "")
foreach(pair IN LISTS TEXTS)
  string(REGEX MATCH "^([^=]+)=(.+)$" matched "${pair}")
  set(shown "")
  if(CMAKE_MATCH_1 IN_LIST PUBLIC)
    set(shown "[[gnu::visibility(\"default\")]] ")
  endif()
  string(APPEND functions "
${shown}std::string_view ${CMAKE_MATCH_1}() {
  static constexpr std::string_view kText =
")
  append_literals(functions "${CMAKE_MATCH_2}")
  string(APPEND functions "      ;
  return kText;
}
")
endforeach()

set(kernels "")
foreach(name IN LISTS KERNELS)
  string(APPEND kernels "  {\"${name}\",\n")
  append_literals(kernels "${ROOT}/${name}")
  string(APPEND kernels "  },\n")
endforeach()

file(WRITE "${OUTPUT}" "// Declared in headers of unroll, whose LibTorch this does without.
#include <string_view>

#include \"kernels/cuda/sources.h\"

namespace unroll {
${functions}
std::span<const KernelSource> kernel_sources() {
  static constexpr KernelSource kSources[] = {
${kernels}  };
  return kSources;
}

}  // namespace unroll
")
