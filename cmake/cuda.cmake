# Decides whether the CUDA part (libunroll_cuda.so) is built: sets unroll_cuda_is_built, and UNROLL_CUDA_INCLUDE_DIRS to the folders of
# CUDA's headers.
#
# It takes a LibTorch with CUDA and headers of its major version, but neither a toolkit nor a GPU: kernels are compiled where they run.
# LibTorch's wheels bring the headers of CUDA's runtime. What these include from crt/ is in a package that they do not require; Triton,
# which they do, has the same.
set(unroll_cuda_is_built FALSE)
set(UNROLL_CUDA_INCLUDE_DIRS "")
if(NOT TARGET LibTorch::cuda)
  message(STATUS "The CUDA part is not built: this LibTorch has no libtorch_cuda.so")
  return()
endif()
file(STRINGS "${LibTorch_LIBRARY_DIR}/libc10_cuda.so" _runtime REGEX "libcudart[^/]*\\.so\\.[0-9]+" LIMIT_COUNT 1)
string(REGEX MATCH "libcudart[^/]*\\.so\\.([0-9]+)" _runtime "${_runtime}")
set(_major "${CMAKE_MATCH_1}")
get_filename_component(_packages "${LibTorch_INSTALL_DIR}" DIRECTORY)
set(_folders
  "${_packages}/nvidia/cu${_major}/include" "${_packages}/nvidia/cuda_runtime/include" "${_packages}/nvidia/cuda_nvcc/include"
  "${_packages}/triton/backends/nvidia/include")
foreach(_toolkit IN ITEMS "$ENV{CUDA_HOME}" "$ENV{CUDA_PATH}" /usr/local/cuda)
  if(_toolkit)
    list(APPEND _folders "${_toolkit}/include")
  endif()
endforeach()

# The first folder of the right version that has it
foreach(_header IN ITEMS cuda_runtime_api.h crt/host_config.h)
  set(_found FALSE)
  foreach(_folder IN LISTS _folders)
    set(_version 0)
    if(EXISTS "${_folder}/${_header}" AND EXISTS "${_folder}/cuda.h")
      file(STRINGS "${_folder}/cuda.h" _version REGEX "#define CUDA_VERSION [0-9]+" LIMIT_COUNT 1)
      string(REGEX REPLACE ".* ([0-9]+)[0-9][0-9][0-9].*" "\\1" _version "${_version}")
    endif()
    if(NOT _found AND _version GREATER 0 AND (_version EQUAL _major OR NOT _major))
      set(_found TRUE)
      list(APPEND UNROLL_CUDA_INCLUDE_DIRS "${_folder}")
    endif()
  endforeach()
  if(NOT _found)
    message(STATUS "The CUDA part is not built: CUDA ${_major}'s ${_header} is not beside LibTorch; pip install 'cuda-toolkit[cudart,crt]'")
    return()
  endif()
endforeach()
list(REMOVE_DUPLICATES UNROLL_CUDA_INCLUDE_DIRS)
set(unroll_cuda_is_built TRUE)
message(STATUS "The CUDA part is built with CUDA's headers in ${UNROLL_CUDA_INCLUDE_DIRS}")
