# Copies the shared libraries that the installed program needs, and theirs, to lib/kernmill: all but
# glibc's own. Run at install time.
set(prefix "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")
file(GET_RUNTIME_DEPENDENCIES
    EXECUTABLES "${prefix}/bin/kernmill"
    RESOLVED_DEPENDENCIES_VAR found
    UNRESOLVED_DEPENDENCIES_VAR missing
    PRE_EXCLUDE_REGEXES "^lib(c|m|dl|rt|pthread|resolv)\\.so" "^ld-linux" "^libgcc_s")
if(missing)
    message(FATAL_ERROR "not found: ${missing}")
endif()
foreach(library ${found})
    get_filename_component(real "${library}" REALPATH)
    get_filename_component(name "${library}" NAME)
    file(INSTALL "${real}" DESTINATION "${prefix}/lib/kernmill" RENAME "${name}")
    message(STATUS "bundled ${name}")
endforeach()
