# Decides whether several processes can train together: sets GLOO_INCLUDE_DIR and unroll_ranks_missing, which says what is missing
# and is empty where nothing is.
#
# LibTorch's wheels have c10d and Gloo within their library, and c10d's headers, but not the headers of Gloo that these include.
find_path(GLOO_INCLUDE_DIR gloo/context.h)
mark_as_advanced(GLOO_INCLUDE_DIR)
set(unroll_ranks_missing "")
find_file(C10D_GLOO_HEADER torch/csrc/distributed/c10d/ProcessGroupGloo.hpp PATHS ${LibTorch_INCLUDE_DIRS} NO_DEFAULT_PATH NO_CACHE)
if(NOT UNROLL_BUILD_RANKS)
  set(unroll_ranks_missing "them (UNROLL_BUILD_RANKS is off)")
elseif(NOT C10D_GLOO_HEADER)
  set(unroll_ranks_missing "c10d: LibTorch ${LibTorch_VERSION} has no header of ProcessGroupGloo")
else()
  # By its type's name: to include its header would take longer than all else that is configured
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/ranks_in_libtorch.cpp"
    "extern \"C\" const char _ZTIN4c10d16ProcessGroupGlooE;\nint main() { return &_ZTIN4c10d16ProcessGroupGlooE == nullptr; }\n")
  try_compile(UNROLL_C10D_HAS_GLOO "${CMAKE_CURRENT_BINARY_DIR}/ranks_in_libtorch" "${CMAKE_CURRENT_BINARY_DIR}/ranks_in_libtorch.cpp"
    LINK_LIBRARIES LibTorch::LibTorch)
  if(NOT UNROLL_C10D_HAS_GLOO)
    set(unroll_ranks_missing "c10d: LibTorch ${LibTorch_VERSION} was built without Gloo")
  elseif(NOT GLOO_INCLUDE_DIR)
    set(unroll_ranks_missing "the headers of Gloo (Debian's libgloo-dev)")
  endif()
endif()
if(unroll_ranks_missing)
  message(STATUS "Several processes cannot train together: built without ${unroll_ranks_missing}")
endif()
