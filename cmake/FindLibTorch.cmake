# FindLibTorch: LibTorch >= 2.7 for C++, without its CUDA set-up.
#
# find_package(Torch) wants nvcc for a CUDA wheel, lets a system libnccl shadow the wheel's, and picks up a distribution's
# libtorch.so in place of the one asked for. This module names every file by its full path instead, so none of that happens.
#
# Looked at, in this order; the first that serves is taken:
#   1. what was named: LibTorch_ROOT, Torch_ROOT, Torch_DIR, CMAKE_PREFIX_PATH, as CMake variables, then in the environment.
#      Each may be an official archive, a wheel's torch/ directory, a virtual environment or a distribution's prefix.
#      What was named and is too old is refused.
#   2. the active Python's torch (Python3_EXECUTABLE, else python3), found without importing it
#   3. a wheel in the project's .venv
#   4. the system's prefixes
#   5. LibTorch_FALLBACK_ROOT, where an installed package says what it was built with
# In 2 to 5 a LibTorch that is too old is passed over.
#
# Defines LibTorch::LibTorch (libtorch_cpu and libc10; never libtorch_cuda, which can only be loaded where a driver is),
#   LibTorch::cuda (libtorch_cuda and libc10_cuda, for what is loaded there; only where LibTorch has them),
#   LibTorch::openmp (the OpenMP library that LibTorch itself runs on, for files compiled with -fopenmp: another one would
#   bring a second set of threads; LibTorch_OPENMP_DIR, where that is not the compiler's) and
#   LibTorch_VERSION, LibTorch_ORIGIN (where it came from, in words), LibTorch_INSTALL_DIR,
#   LibTorch_LIBRARY_DIR, LibTorch_INCLUDE_DIRS, LibTorch_TORCH_CPU_LIBRARY, LibTorch_C10_LIBRARY
# In script mode (cmake -P), where there are no targets, it sets the variables alone.

cmake_minimum_required(VERSION 3.25)

# Tells what stands under `root`: _dir, _version, _includes, _libdir, and _problem (empty when it is a whole LibTorch).
# _version is empty where no torch is there at all.
function(_libtorch_examine root)
  file(GLOB wheels LIST_DIRECTORIES true "${root}/lib/python3*/site-packages/torch")
  set(dir "")
  # Torch_DIR is <dir>/share/cmake/Torch (or <dir>/lib/<arch>/cmake/Torch), torch.utils.cmake_prefix_path is <dir>/share/cmake
  set(above "")
  if(EXISTS "${root}/TorchConfig.cmake" OR EXISTS "${root}/Torch/TorchConfig.cmake")
    set(above "${root}/../.." "${root}/../../.." "${root}/../../../..")
  endif()
  foreach(candidate IN ITEMS "${root}" "${root}/torch" ${wheels} ${above})
    if(EXISTS "${candidate}/include/torch/csrc/api/include/torch/version.h")
      get_filename_component(dir "${candidate}" ABSOLUTE)
      break()
    endif()
  endforeach()
  set(version "")
  set(problem "no LibTorch there")
  set(libdir "")
  if(dir)
    # newer versions hold the numbers in headeronly/ and include them from the old place
    foreach(header IN ITEMS headeronly/version.h csrc/api/include/torch/version.h)
      set(header "${dir}/include/torch/${header}")
      if(version OR NOT EXISTS "${header}")
        continue()
      endif()
      file(STRINGS "${header}" lines REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) +[0-9]+")
      list(TRANSFORM lines REPLACE ".* " "")
      list(JOIN lines "." version)
    endforeach()
    if(NOT version)
      set(version "0")
    endif()

    foreach(sub IN ITEMS lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}" "lib/${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu")
      if(EXISTS "${dir}/${sub}/libtorch_cpu.so" AND EXISTS "${dir}/${sub}/libc10.so")
        set(libdir "${dir}/${sub}")
        break()
      endif()
    endforeach()
    set(problem "")
    if(version VERSION_LESS LibTorch_FIND_VERSION)
      set(problem "${version} is too old")
    elseif(LibTorch_FIND_VERSION_EXACT AND NOT version VERSION_EQUAL LibTorch_FIND_VERSION)
      set(problem "${version} is another version")
    elseif(NOT libdir)
      set(problem "${version} without libtorch_cpu.so and libc10.so")
    elseif(NOT EXISTS "${dir}/include/torch/csrc/api/include/torch/types.h")
      set(problem "${version} without its C++ headers")
    endif()
  endif()
  set(_dir "${dir}" PARENT_SCOPE)
  set(_version "${version}" PARENT_SCOPE)
  set(_includes "${dir}/include" "${dir}/include/torch/csrc/api/include")
  set(_includes "${_includes}" PARENT_SCOPE)
  set(_libdir "${libdir}" PARENT_SCOPE)
  set(_problem "${problem}" PARENT_SCOPE)
endfunction()

# Takes `root` when nothing was taken before and it serves. kind: NAMED (what does not serve is refused), PREFIX (refused if it
# holds a LibTorch that does not serve), FOUND (passed over).
macro(_libtorch_try root kind origin)
  if(NOT LibTorch_LIBRARY_DIR AND NOT LibTorch_REFUSED)
    _libtorch_examine("${root}")
    if(NOT _problem)
      set(LibTorch_VERSION "${_version}")
      set(LibTorch_ORIGIN "${origin}")
      set(LibTorch_INSTALL_DIR "${_dir}")
      set(LibTorch_INCLUDE_DIRS "${_includes}")
      set(LibTorch_LIBRARY_DIR "${_libdir}")
      set(LibTorch_TORCH_CPU_LIBRARY "${_libdir}/libtorch_cpu.so")
      set(LibTorch_C10_LIBRARY "${_libdir}/libc10.so")
    elseif("${kind}" STREQUAL "NAMED" OR ("${kind}" STREQUAL "PREFIX" AND _version))
      set(LibTorch_REFUSED "${origin} names ${root}: ${_problem}")
    elseif(NOT "${kind}" STREQUAL "PREFIX")
      list(APPEND _libtorch_looked "${origin}, ${root}: ${_problem}")
    endif()
  endif()
endmacro()

foreach(_variable IN ITEMS LibTorch_VERSION LibTorch_ORIGIN LibTorch_INSTALL_DIR LibTorch_INCLUDE_DIRS LibTorch_LIBRARY_DIR
                           LibTorch_TORCH_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_REFUSED _libtorch_looked)
  unset(${_variable})
endforeach()
if(NOT LibTorch_FIND_VERSION)
  set(LibTorch_FIND_VERSION 2.7)
endif()

# 1. what was named
foreach(_variable IN ITEMS LibTorch_ROOT Torch_ROOT Torch_DIR)
  if(${_variable})  # a find_package(Torch) that failed leaves Torch_DIR-NOTFOUND, which is false
    _libtorch_try("${${_variable}}" NAMED "${_variable}")
  endif()
endforeach()
foreach(_prefix IN LISTS CMAKE_PREFIX_PATH)
  _libtorch_try("${_prefix}" PREFIX "CMAKE_PREFIX_PATH")
endforeach()
foreach(_variable IN ITEMS LibTorch_ROOT Torch_ROOT Torch_DIR)
  if(NOT "$ENV{${_variable}}" STREQUAL "")
    _libtorch_try("$ENV{${_variable}}" NAMED "the environment's ${_variable}")
  endif()
endforeach()
string(REPLACE ":" ";" _prefixes "$ENV{CMAKE_PREFIX_PATH}")
foreach(_prefix IN LISTS _prefixes)
  _libtorch_try("${_prefix}" PREFIX "the environment's CMAKE_PREFIX_PATH")
endforeach()
if(NOT LibTorch_LIBRARY_DIR)
  list(APPEND _libtorch_looked "LibTorch_ROOT, Torch_DIR and CMAKE_PREFIX_PATH: name none")
endif()

# 2. the active Python. Importing torch takes seconds and fails for a wheel without its CUDA packages; its place is enough.
if(NOT LibTorch_LIBRARY_DIR AND NOT LibTorch_REFUSED)
  if(Python3_EXECUTABLE)
    set(_python "${Python3_EXECUTABLE}")
  else()
    find_program(_python python3 NO_CACHE)
  endif()
  set(_torch "")
  if(_python)
    execute_process(
      COMMAND "${_python}" -c "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s and s.origin else '')"
      WORKING_DIRECTORY "${CMAKE_CURRENT_LIST_DIR}"
      OUTPUT_VARIABLE _torch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET TIMEOUT 30)
  endif()
  if(_torch)
    get_filename_component(_torch "${_torch}" DIRECTORY)
    _libtorch_try("${_torch}" FOUND "the active Python")
  elseif(_python)
    list(APPEND _libtorch_looked "the active Python, ${_python}: has no torch")
  else()
    list(APPEND _libtorch_looked "the active Python: there is no python3")
  endif()
  unset(_python)
endif()

# 3. the project's own environment
get_filename_component(_venv "${CMAKE_CURRENT_LIST_DIR}/../.venv" ABSOLUTE)
_libtorch_try("${_venv}" FOUND "the project's .venv")

# 4. the system's prefixes
foreach(_prefix IN ITEMS /usr/local /usr)
  _libtorch_try("${_prefix}" FOUND "the system")
endforeach()

# 5. what an installed package was built with
if(LibTorch_FALLBACK_ROOT)
  _libtorch_try("${LibTorch_FALLBACK_ROOT}" FOUND "the LibTorch it was built with")
endif()

set(LibTorch_NOT_FOUND_MESSAGE "")
if(NOT LibTorch_LIBRARY_DIR)
  set(_advice "Name one with -DCMAKE_PREFIX_PATH=DIR or LibTorch_ROOT=DIR (an unpacked archive or a wheel's torch directory), \
or run scripts/setup.")
  if(LibTorch_REFUSED)
    set(LibTorch_NOT_FOUND_MESSAGE "LibTorch >= ${LibTorch_FIND_VERSION} is needed, but ${LibTorch_REFUSED}. ${_advice}")
  else()
    list(JOIN _libtorch_looked "; " _places)
    set(LibTorch_NOT_FOUND_MESSAGE "LibTorch >= ${LibTorch_FIND_VERSION} was not found. Looked at ${_places}. ${_advice}")
  endif()
endif()

get_property(_role GLOBAL PROPERTY CMAKE_ROLE)
if(_role STREQUAL "SCRIPT")
  return()
endif()

if(LibTorch_NOT_FOUND_MESSAGE AND LibTorch_FIND_REQUIRED)
  # find_package_handle_standard_args would wrap the same words in "Could NOT find ... (missing: ...)"
  message(FATAL_ERROR "${LibTorch_NOT_FOUND_MESSAGE}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LibTorch
  REQUIRED_VARS LibTorch_ORIGIN LibTorch_TORCH_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIRS
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "${LibTorch_NOT_FOUND_MESSAGE}")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  foreach(_library IN ITEMS torch_cpu c10)
    string(TOUPPER "${_library}" _upper)
    add_library(LibTorch::${_library} SHARED IMPORTED)
    set_target_properties(LibTorch::${_library} PROPERTIES
      IMPORTED_LOCATION "${LibTorch_${_upper}_LIBRARY}"
      IMPORTED_SONAME "lib${_library}.so")
  endforeach()

  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  # Of an IMPORTED target CMake passes the directories as -isystem, so LibTorch's headers raise no warnings.
  target_include_directories(LibTorch::LibTorch INTERFACE ${LibTorch_INCLUDE_DIRS})
  target_compile_features(LibTorch::LibTorch INTERFACE cxx_std_20)
  target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::torch_cpu LibTorch::c10)

  # A CUDA wheel's libtorch_cpu.so needs libcudart and libcupti, which lie in the packages beside torch/. At run time its own
  # rpath finds them; the linker must be told.
  get_filename_component(_packages "${LibTorch_INSTALL_DIR}" DIRECTORY)
  file(GLOB _needed LIST_DIRECTORIES true "${_packages}/nvidia/*/lib")
  foreach(_dir IN LISTS LibTorch_LIBRARY_DIR _needed)
    target_link_options(LibTorch::LibTorch INTERFACE "LINKER:-rpath-link,${_dir}")
  endforeach()

  set(_cuda_libraries "")
  foreach(_library IN ITEMS torch_cuda c10_cuda)
    if(EXISTS "${LibTorch_LIBRARY_DIR}/lib${_library}.so")
      add_library(LibTorch::${_library} SHARED IMPORTED)
      set_target_properties(LibTorch::${_library} PROPERTIES
        IMPORTED_LOCATION "${LibTorch_LIBRARY_DIR}/lib${_library}.so"
        IMPORTED_SONAME "lib${_library}.so")
      list(APPEND _cuda_libraries LibTorch::${_library})
    endif()
  endforeach()
  list(LENGTH _cuda_libraries _count)
  if(_count EQUAL 2)
    add_library(LibTorch::cuda INTERFACE IMPORTED)
    target_link_libraries(LibTorch::cuda INTERFACE ${_cuda_libraries})
  endif()

  # A wheel brings its own libgomp, beside its libraries or (as libgomp-HASH) in torch.libs; elsewhere it is the compiler's. Code
  # that clang compiled for OpenMP needs clang's own library, and so gets a second set of threads.
  file(GLOB _openmp "${LibTorch_LIBRARY_DIR}/libgomp*.so*" "${_packages}/torch.libs/libgomp*.so*")
  list(APPEND _openmp gomp)
  list(GET _openmp 0 _openmp)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(_openmp -fopenmp)
  endif()
  set(LibTorch_OPENMP_DIR "")
  if(IS_ABSOLUTE "${_openmp}")
    get_filename_component(LibTorch_OPENMP_DIR "${_openmp}" DIRECTORY)
  endif()
  add_library(LibTorch::openmp INTERFACE IMPORTED)
  target_link_libraries(LibTorch::openmp INTERFACE "${_openmp}")

  # Builds with the old string ABI say so in their own CMake file; the others have the compiler's default.
  set(_config "${LibTorch_INSTALL_DIR}/share/cmake/Torch/TorchConfig.cmake")
  if(EXISTS "${_config}")
    file(STRINGS "${_config}" _abi REGEX "_GLIBCXX_USE_CXX11_ABI=[01]" LIMIT_COUNT 1)
    if(_abi MATCHES "_GLIBCXX_USE_CXX11_ABI=([01])")
      target_compile_definitions(LibTorch::LibTorch INTERFACE _GLIBCXX_USE_CXX11_ABI=${CMAKE_MATCH_1})
    endif()
  endif()
endif()
