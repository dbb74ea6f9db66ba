# Decides whether the CUDA part (lib/src/cuda) is built: sets unroll_cuda_is_built, and says why not.
#
# It needs CUDA's toolkit and a LibTorch with CUDA, but no GPU and no driver. UNROLL_CUDA is AUTO (where both are there), ON
# (both must be there) or OFF.
set(unroll_cuda_is_built FALSE)
set(_why_not "")
if(NOT UNROLL_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "UNROLL_CUDA must be AUTO, ON or OFF, got ${UNROLL_CUDA}")
elseif(UNROLL_CUDA STREQUAL "OFF")
  set(_why_not "UNROLL_CUDA is OFF")
elseif(NOT TARGET LibTorch::cuda)
  set(_why_not "this LibTorch has no libtorch_cuda.so")
else()
  # C++20 needs nvcc 12
  find_package(CUDAToolkit 12 QUIET)
  include(CheckLanguage)
  # Each source names its own; CMake only has to compile its tests.
  set(CMAKE_CUDA_ARCHITECTURES 90)
  check_language(CUDA)
  if(CUDAToolkit_FOUND AND TARGET CUDA::cudart AND CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(unroll_cuda_is_built TRUE)
  else()
    set(_why_not "CUDA's toolkit (12 or later, with nvcc) was not found")
  endif()
endif()
if(unroll_cuda_is_built)
  message(STATUS "The CUDA part is built with CUDA ${CUDAToolkit_VERSION}")
elseif(UNROLL_CUDA STREQUAL "ON")
  message(FATAL_ERROR "UNROLL_CUDA is ON, but ${_why_not}")
else()
  message(STATUS "The CUDA part is not built: ${_why_not}")
endif()
