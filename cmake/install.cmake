# What `cmake --install` lays down: headers, unroll::unroll with its package config, the command, the licence.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/unroll")
install(DIRECTORY lib/include/unroll DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(TARGETS unroll EXPORT unrollTargets INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(unroll_cuda_is_built)
  install(TARGETS unroll_cuda LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()
install(EXPORT unrollTargets NAMESPACE unroll:: DESTINATION "${package_dir}")
if(UNROLL_BUILD_APP)
  install(TARGETS unroll_app)
endif()

get_target_property(unroll_type unroll TYPE)
configure_package_config_file(cmake/unrollConfig.cmake.in unrollConfig.cmake INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file(unrollConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(
  FILES "${CMAKE_CURRENT_BINARY_DIR}/unrollConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/unrollConfigVersion.cmake"
        cmake/FindLibTorch.cmake cmake/Findutf8proc.cmake
  DESTINATION "${package_dir}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
