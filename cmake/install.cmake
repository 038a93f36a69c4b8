# The install tree, which is also what kernmill's wheel carries:
#   bin/kernmill               the program
#   libexec/kernmill/          kernmill-net, which it executes for commands that need the network
#   include/kernmill/          the SDK headers
#   lib/kernmill/              libkernmill_bench.so, and, when KM_BUNDLE is on, the shared libraries
#                              that the program needs; in its system/ those that libcurl needs, too
#   share/kernmill/            data the program reads
option(KM_BUNDLE "install the shared libraries that the program needs beside it" OFF)
include(GNUInstallDirs)
# In the build folder too, which has the same form: CMake's placeholder for what it sets at installation
# is a path of empty parts, and an empty part is the working folder, where libraries would be looked for.
set_target_properties(kernmill kernmill-net kernmill_bench PROPERTIES BUILD_WITH_INSTALL_RPATH ON)
# DT_RPATH rather than DT_RUNPATH: it is also followed for what the bundled libraries need themselves
set_target_properties(kernmill PROPERTIES
    INSTALL_RPATH "$ORIGIN/../lib/kernmill:$ORIGIN/../lib/kernmill/system")
target_link_options(kernmill PRIVATE -Wl,--disable-new-dtags)
# The system's libcurl wants the libcrypto and the zlib that it came with, not the ones we bring.
set_target_properties(kernmill-net PROPERTIES INSTALL_RPATH "$ORIGIN/../../lib/kernmill")
target_link_options(kernmill-net PRIVATE -Wl,--disable-new-dtags)
target_link_options(kernmill_bench PRIVATE -Wl,--disable-new-dtags)
install(TARGETS kernmill RUNTIME DESTINATION bin)
install(TARGETS kernmill-net RUNTIME DESTINATION libexec/kernmill)
install(TARGETS kernmill_bench LIBRARY DESTINATION lib/kernmill)
install(FILES csrc/python/bench_host.py csrc/python/profile_host.py DESTINATION share/kernmill)
install(DIRECTORY csrc/sdk/kernmill DESTINATION include FILES_MATCHING PATTERN "*.h" PATTERN "*.cuh")
install(DIRECTORY templates/ DESTINATION share/kernmill/templates)
install(DIRECTORY skills/ DESTINATION share/kernmill/skills USE_SOURCE_PERMISSIONS
    PATTERN __pycache__ EXCLUDE)
if(KM_BUNDLE)
    install(SCRIPT ${CMAKE_CURRENT_LIST_DIR}/bundle.cmake)
endif()
