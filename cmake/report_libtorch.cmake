# cmake -P: says which LibTorch a build would take, in one line: found|VERSION|DIRECTORY|ORIGIN, or refused|WHY for one that was
# named and does not serve, or missing|WHY.
include("${CMAKE_CURRENT_LIST_DIR}/FindLibTorch.cmake")
if(LibTorch_LIBRARY_DIR)
  message("found|${LibTorch_VERSION}|${LibTorch_INSTALL_DIR}|${LibTorch_ORIGIN}")
elseif(LibTorch_REFUSED)
  message("refused|${LibTorch_NOT_FOUND_MESSAGE}")
else()
  message("missing|${LibTorch_NOT_FOUND_MESSAGE}")
endif()
