/* pkg/package_digest.h: which files a kernel's package is made of, in one digest: a Hub folder
 * build/<variant>, or the wheel's folder of the kernel's import name.
 *
 * Hashed are, for each file in bytewise order of the names, the name with '/' between its parts, a
 * zero, and the 32 bytes of the content's SHA-256. metadata.json is left out, since it speaks of
 * the others, and so is what Python leaves behind. python/kernmill/pytest_plugin.py does the same,
 * for the files that it tests. */
#ifndef KERNMILL_PKG_PACKAGE_DIGEST_H
#define KERNMILL_PKG_PACKAGE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/hash.h"

typedef struct {
    const char *name; /* in the package */
    char sha256[KM_SHA256_HEX_BYTES];
} km_package_library;

typedef struct {
    char sha256[KM_SHA256_HEX_BYTES]; /* of all files, as above */
    km_package_library *libraries;    /* the files that end with .so; in the arena */
    size_t library_count;
} km_package_digest;

/* Errors: KM_ENOENT, KM_EIO, KM_EFORMAT for a link in the folder, KM_ELIMIT beyond KM_LIBRARIES_MAX
 * or the limits of km_dir_walk. */
int km_package_digest_read(km_arena *a, const char *dir, km_package_digest *out, km_err *err);

/* Whether the file is no part of what is hashed, as the `kernels` client has it (0.17). */
bool km_package_leaves_out(const char *name);

#endif
