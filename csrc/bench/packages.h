/* bench/packages.h: what the Python that goes with a measurement has installed. Python is asked,
 * nothing is imported. */
#ifndef KERNMILL_BENCH_PACKAGES_H
#define KERNMILL_BENCH_PACKAGES_H

#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

/* Where torch and packages of operators are: `folders` gets torch's folder and one for each of the
 * `count` names, NULL for those that are not installed. Errors: KM_EENV with the line to type when
 * there is no torch or no Python. */
int km_packages_find(km_arena *a, const char *python, const char *const *names, size_t count,
                     const char **folders, km_err *err);

/* The versions of `count` distributions ("torch", "liger-kernel"), NULL for those that are not
 * installed. Errors: KM_EENV. */
int km_packages_versions(km_arena *a, const char *python, const char *const *names, size_t count,
                         const char **versions, km_err *err);

#endif
