/* hub/lock.h: which commit each kernel of a project is now, and what every file of it is.
 *
 *   [tool.kernels.dependencies] of pyproject.toml ("owner/name" = 1)
 *       -> branch v1 -> commit -> files below build/ -> kernel-depends of every variant's
 *          metadata.json, and so on -> kernels.lock, kernels.lock.digests.json (pkg/lock.h)
 *
 * As `kernels lock` (0.17) does it, with two differences: a dependency on a branch or a tag is
 * locked, where that one stops; and no publisher is asked whether he is trusted.
 *
 * Of the digests, the SHA-256 of a file in LFS is believed as the hub lists it, since nothing else
 * would be downloaded for it; `get` computes it when the file comes. Every other file is downloaded
 * and its digest computed here, after its git id was found to be the one listed. Where
 * metadata.json has digests, both must be the same for every file, or nothing is locked.
 */
#ifndef KERNMILL_HUB_LOCK_H
#define KERNMILL_HUB_LOCK_H

#include "core/str.h"
#include "net/endpoint.h"
#include "pkg/lock.h"

typedef struct {
    const char *path; /* DIR/kernels.lock */
    km_lock lock;     /* as the hub has it now */
    km_str changes;   /* lines: what of it is not in the file; "": it is up to date */
    uint64_t downloaded_bytes;
} km_lock_result;

/* With `check` nothing is written. Everything but `changes`, which is to be released in every case,
 * is in the arena.
 * Errors: KM_EFORMAT for a project without dependencies, at its place; kernels that depend on each
 * other in a circle; a list and a metadata.json that disagree; those of the files of net/. */
int km_lock_make(km_arena *a, const km_endpoint *e, km_http *http, const char *dir, bool check,
                 km_lock_result *out, km_err *err);

void km_lock_result_release(km_lock_result *r);

#endif
