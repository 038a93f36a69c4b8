# The install tree, which is also what kernmill's wheel carries:
#   bin/kernmill               the program
#   include/kernmill/          the SDK headers
#   lib/kernmill/              the shared libraries the program needs, when KM_BUNDLE is on
#   share/kernmill/            data the program reads
option(KM_BUNDLE "install the shared libraries that the program needs beside it" OFF)
include(GNUInstallDirs)
# DT_RPATH rather than DT_RUNPATH: it is also followed for what the bundled libraries need themselves
set_target_properties(kernmill PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/kernmill")
target_link_options(kernmill PRIVATE -Wl,--disable-new-dtags)
install(TARGETS kernmill RUNTIME DESTINATION bin)
install(DIRECTORY csrc/sdk/kernmill DESTINATION include FILES_MATCHING PATTERN "*.h")
install(DIRECTORY templates/ DESTINATION share/kernmill/templates)
if(KM_BUNDLE)
    install(SCRIPT ${CMAKE_CURRENT_LIST_DIR}/bundle.cmake)
endif()
