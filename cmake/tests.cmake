# Unit tests (GoogleTest) and fuzz targets. Without libFuzzer a fuzz target is linked with a driver
# that runs it over its corpus once, so that old finds are checked in every test run.
if(KM_FUZZ)
    set(fuzz_link -fsanitize=fuzzer,address,undefined)
else()
    find_package(GTest REQUIRED)
    file(GLOB unit CONFIGURE_DEPENDS tests/unit/*_test.cc)
    add_executable(unit_tests ${unit})
    target_link_libraries(unit_tests PRIVATE km_hub km_bench km_profile km_lab GTest::gtest_main)
    target_compile_definitions(unit_tests PRIVATE KM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    add_library(asks SHARED tests/unit/asks.c) # a library that asks for memory, as torch does
    target_compile_definitions(asks PRIVATE _GNU_SOURCE)
    target_link_libraries(unit_tests PRIVATE asks)
    add_test(NAME unit COMMAND unit_tests)
    add_executable(toml_to_json tests/conformance/toml_to_json.c) # for test_toml.py
    target_link_libraries(toml_to_json PRIVATE km_formats)
    add_executable(http_driver tests/net/http_driver.c) # for tests/net
    target_link_libraries(http_driver PRIVATE km_net)
    add_executable(soak_judge EXCLUDE_FROM_ALL tests/soak/judge.cc) # for scripts/soak judge
    target_link_libraries(soak_judge PRIVATE km_lab)
    # for tests/fault: every call that touches a file can be failed (tests/fault/fault.c)
    add_executable(kernmill-net-fault ${cli} ${cli_net} tests/fault/fault.c)
    target_compile_definitions(kernmill-net-fault PRIVATE KM_WITH_NET)
    target_link_libraries(kernmill-net-fault PRIVATE km_hub km_bench km_profile km_lab km_skill)
    foreach(call open openat read pread write pwrite fsync ftruncate fchmod flock rename renameat2 symlink
            mkdir mkdtemp unlink unlinkat)
        target_link_options(kernmill-net-fault PRIVATE -Wl,--wrap=${call})
    endforeach()
    set(fuzz_driver tests/fuzz/replay.c)
endif()

file(GLOB fuzz CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source ${fuzz})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source} ${fuzz_driver})
    target_link_libraries(${name} PRIVATE km_net km_pkg km_bench km_profile km_lab ${fuzz_link})
    if(NOT KM_FUZZ)
        string(REPLACE fuzz_ "" corpus ${name})
        add_test(NAME ${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${corpus})
    endif()
endforeach()
