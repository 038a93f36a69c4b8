/* hub/copy.h: files out of a cache, or another folder, into a new one. */
#ifndef KERNMILL_HUB_COPY_H
#define KERNMILL_HUB_COPY_H

#include "core/arena.h"
#include "core/err.h"

typedef struct {
    const char *from;
    const char *name; /* in the new folder */
} km_copy;

/* Makes the folder `output` of these files, under another name first: whoever looks sees no half of
 * it. Links are read through. *path: its name without slashes at its end, in the arena.
 * Errors: KM_EUSAGE when it exists; KM_EIO. */
int km_copy_out(km_arena *a, const char *output, const km_copy *files, size_t count,
                const char **path, km_err *err);

/* A file in pieces, however large; `to` must not be there. */
int km_copy_file(const char *from, const char *to, km_err *err);

#endif
