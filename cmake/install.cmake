# What `cmake --install` lays down: headers, unroll::unroll with its package config, unroll.pc, the command, the licence. All of it
# can be moved to another prefix. What CPack makes of it is below.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/unroll")
install(DIRECTORY lib/include/unroll DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(TARGETS unroll EXPORT unrollTargets INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(unroll_cuda_is_built)
  install(TARGETS unroll_cuda LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()
if(UNROLL_BUILD_OPERATORS)
  install(TARGETS unroll_operators LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()
install(EXPORT unrollTargets NAMESPACE unroll:: DESTINATION "${package_dir}")

# The command is a script that starts the program with its LibTorch, or says how to name one.
if(UNROLL_BUILD_APP)
  file(RELATIVE_PATH unroll_libexec "/${CMAKE_INSTALL_BINDIR}" "/${CMAKE_INSTALL_LIBEXECDIR}")
  set_target_properties(unroll_app PROPERTIES INSTALL_RPATH "")
  install(TARGETS unroll_app RUNTIME DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/unroll")
  configure_file(cmake/unroll.sh.in unroll.sh @ONLY)
  install(PROGRAMS "${CMAKE_CURRENT_BINARY_DIR}/unroll.sh" DESTINATION "${CMAKE_INSTALL_BINDIR}" RENAME unroll)
endif()

get_target_property(unroll_type unroll TYPE)
configure_package_config_file(cmake/unrollConfig.cmake.in unrollConfig.cmake INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file(unrollConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(
  FILES "${CMAKE_CURRENT_BINARY_DIR}/unrollConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/unrollConfigVersion.cmake"
        cmake/FindLibTorch.cmake cmake/Findutf8proc.cmake
  DESTINATION "${package_dir}")
install(FILES LICENSE CHANGELOG.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# A static library needs what it was made of, too.
set(unroll_needs "")
if(unroll_type STREQUAL "STATIC_LIBRARY")
  get_target_property(openmp LibTorch::openmp INTERFACE_LINK_LIBRARIES)
  if(NOT IS_ABSOLUTE "${openmp}")
    set(openmp -fopenmp)
  endif()
  set(unroll_needs "-lhwy -lutf8proc ${openmp} -ldl")
endif()
file(RELATIVE_PATH unroll_up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" /)
string(REGEX REPLACE "/$" "" unroll_up "${unroll_up}")
configure_file(cmake/unroll.pc.in unroll.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/unroll.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

# `cpack` in the build folder makes a .tar.gz and a .deb. LibTorch is in neither.
set(CPACK_GENERATOR TGZ DEB)
set(CPACK_PACKAGE_VENDOR "The unroll authors")
set(CPACK_PACKAGE_CONTACT "The unroll authors <unroll@localhost>")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Found where they are, though no Debian package has them; dpkg-shlibdeps passes over these
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${LibTorch_LIBRARY_DIR} ${LibTorch_OPENMP_DIR})
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3, python3-pip, gnuplot-nox")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libhwy-dev, libutf8proc-dev")
include(CPack)
