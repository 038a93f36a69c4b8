# Copies the shared libraries that the installed program needs, and theirs, to lib/kernmill: all but
# glibc's own. Those that libcurl needs, too, go to its folder system/, where kernmill looks and
# kernmill-net does not: it takes them from where libcurl comes from. Run at install time.
cmake_policy(VERSION 3.22)
set(prefix "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")
set(glibc "^lib(c|m|dl|rt|pthread|resolv)\\.so" "^ld-linux" "^libgcc_s")
file(GET_RUNTIME_DEPENDENCIES
    EXECUTABLES "${prefix}/bin/kernmill"
    RESOLVED_DEPENDENCIES_VAR found
    UNRESOLVED_DEPENDENCIES_VAR missing
    PRE_EXCLUDE_REGEXES ${glibc})
if(missing)
    message(FATAL_ERROR "not found: ${missing}")
endif()
file(GET_RUNTIME_DEPENDENCIES
    EXECUTABLES "${prefix}/libexec/kernmill/kernmill-net"
    RESOLVED_DEPENDENCIES_VAR found_net
    UNRESOLVED_DEPENDENCIES_VAR missing
    PRE_EXCLUDE_REGEXES ${glibc})
if(missing)
    message(FATAL_ERROR "not found: ${missing}")
endif()
set(curl ${found_net})
list(FILTER curl INCLUDE REGEX "/libcurl\\.so")
file(GET_RUNTIME_DEPENDENCIES
    LIBRARIES ${curl}
    RESOLVED_DEPENDENCIES_VAR of_curl
    UNRESOLVED_DEPENDENCIES_VAR missing
    PRE_EXCLUDE_REGEXES ${glibc})
foreach(library ${found})
    get_filename_component(real "${library}" REALPATH)
    get_filename_component(name "${library}" NAME)
    set(folder "${prefix}/lib/kernmill")
    if("${library}" IN_LIST of_curl)
        string(APPEND folder "/system")
    endif()
    file(INSTALL "${real}" DESTINATION "${folder}" RENAME "${name}")
    message(STATUS "bundled ${name}")
endforeach()
