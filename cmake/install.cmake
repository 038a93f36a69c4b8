# The install tree, which is also what kernmill's wheel carries:
#   bin/kernmill               the program
#   include/kernmill/          the SDK headers
#   lib/kernmill/              the shared libraries the program needs, when KM_BUNDLE is on
#   share/kernmill/            data the program reads
option(KM_BUNDLE "install the shared libraries that the program needs beside it" OFF)
include(GNUInstallDirs)
set_target_properties(kernmill PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/kernmill")
install(TARGETS kernmill RUNTIME DESTINATION bin)
install(DIRECTORY csrc/sdk/kernmill DESTINATION include FILES_MATCHING PATTERN "*.h")
install(DIRECTORY templates/ DESTINATION share/kernmill/templates)
if(KM_BUNDLE)
    install(SCRIPT ${CMAKE_CURRENT_LIST_DIR}/bundle.cmake)
endif()
