/* pkg/compile_flags.h: how C is compiled and linked: the flags every kernel gets. */
#ifndef KERNMILL_PKG_COMPILE_FLAGS_H
#define KERNMILL_PKG_COMPILE_FLAGS_H

#include "pkg/plan.h"

/* -fexceptions: errors unwind through C frames. -ffp-contract=off: the same bits on every
 * instruction set. -fno-math-errno: square roots are instructions. -Werror=...: what C17 allows and
 * nobody means, a misspelt function first. */
#define KM_CFLAGS_COMMON                                                                           \
    "-std=c17 -fPIC -fexceptions -fvisibility=hidden -ffp-contract=off -fno-math-errno "           \
    "-Wall -Wextra -Werror=implicit-function-declaration -Werror=int-conversion"
#define KM_CFLAGS_RELEASE KM_CFLAGS_COMMON " -O3 -DNDEBUG"
#define KM_CFLAGS_DEBUG   KM_CFLAGS_COMMON " -Og -g"

/* Symbols only from the stubs, no rpath, no writable tables, no executable stack; and never
 * unloaded, because torch keeps pointers to what was registered. */
#define KM_LDFLAGS "-shared -Wl,-z,defs -Wl,-z,noexecstack -Wl,-z,relro -Wl,-z,now -Wl,-z,nodelete"

/* What gcc links in from its own archives is not exported; zig has no such option, and hides it. */
#define KM_LDFLAGS_GCC " -Wl,--exclude-libs,ALL"

/* The folders a section's sources may include from: its own and the SDK. Absolute,
 * ends with NULL; NULL when out of memory. `k` is NULL for the binding. */
const char **km_include_dirs(km_arena *a, const km_plan *p, const km_kernel_section *k);

#endif
