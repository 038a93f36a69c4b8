/* pkg/includes.h: which files a source includes, found by reading its #include lines.
 *
 * NVRTC writes no dependency file, and a cache key needs the contents of all that goes into an
 * image. Conditions are not evaluated: the list may hold a file too many, never one too few, except
 * for names made by macros. Files that are in none of the folders are left out. */
#ifndef KERNMILL_PKG_INCLUDES_H
#define KERNMILL_PKG_INCLUDES_H

#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

typedef struct {
    const char **paths; /* the source first, then what it includes, each once; in the arena */
    size_t count;
} km_includes;

/* `dirs` ends with NULL; a quoted name is looked for beside its includer first.
 * Errors: KM_ENOENT for the source itself, KM_ELIMIT beyond KM_INCLUDES_MAX files. */
int km_includes_scan(km_arena *a, const char *source, const char *const *dirs, km_includes *out,
                     km_err *err);

#endif
