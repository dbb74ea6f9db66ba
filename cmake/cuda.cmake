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
if(NOT _runtime MATCHES "libcudart[^/]*\\.so\\.([0-9]+)")
  message(STATUS "The CUDA part is not built: this LibTorch does not load CUDA's runtime")
  return()
endif()
set(_major "${CMAKE_MATCH_1}")
get_filename_component(_packages "${LibTorch_INSTALL_DIR}" DIRECTORY)
set(_folders "")
foreach(_folder IN ITEMS
    "${_packages}/nvidia/cu${_major}/include" "${_packages}/nvidia/cuda_runtime/include" "${_packages}/triton/backends/nvidia/include"
    "$ENV{CUDA_HOME}/include" "$ENV{CUDA_PATH}/include" /usr/local/cuda/include)
  if(EXISTS "${_folder}/cuda.h")
    file(STRINGS "${_folder}/cuda.h" _version REGEX "#define CUDA_VERSION ${_major}0" LIMIT_COUNT 1)
    if(_version)
      list(APPEND _folders "${_folder}")
    endif()
  endif()
endforeach()
# Before CUDA 13 a package of its own, without cuda.h; it is of LibTorch's version, as its neighbours are
list(APPEND _folders "${_packages}/nvidia/cuda_nvcc/include")
foreach(_header IN ITEMS cuda_runtime_api.h crt/host_config.h)
  set(_found FALSE)
  foreach(_folder IN LISTS _folders)
    if(NOT _found AND EXISTS "${_folder}/${_header}")
      set(_found TRUE)
      list(APPEND UNROLL_CUDA_INCLUDE_DIRS "${_folder}")
    endif()
  endforeach()
  if(NOT _found)
    message(STATUS "The CUDA part is not built: ${_header} of CUDA ${_major} is not beside LibTorch; pip install 'cuda-toolkit[cudart,crt]==${_major}.*'")
    return()
  endif()
endforeach()
list(REMOVE_DUPLICATES UNROLL_CUDA_INCLUDE_DIRS)
set(unroll_cuda_is_built TRUE)
message(STATUS "The CUDA part is built with CUDA's headers in ${UNROLL_CUDA_INCLUDE_DIRS}")
