/* lab/manifest.h: the files that no idea may change, by their hashes: what git has in the commit,
 * and what lies in a tree before a run and after it.
 */
#ifndef KERNMILL_LAB_MANIFEST_H
#define KERNMILL_LAB_MANIFEST_H

#include "core/hash.h"
#include "lab/git.h"

typedef struct {
    km_git_list paths; /* from the tree's top */
    km_sha256 *hashes; /* of each */
    char digest[KM_SHA256_HEX_BYTES];
} km_manifest;

/* Whether an idea may change this path: it, or a folder around it, is in `change`, whose entries
 * are below `prefix` ("" or "labs/rms/"). */
bool km_manifest_is_open(const char *path, const char *prefix, const char *const *change,
                         size_t count);

/* Hashes what the commit in `tree` tracks and no idea may change, as it lies there now. Everything
 * lives in the arena. Errors: KM_ENOENT for a file that is gone. */
int km_manifest_make(km_arena *a, const char *tree, const char *prefix, const char *const *change,
                     size_t count, km_manifest *out, km_err *err);

/* Whether the files are as they were. *odd: the first that is not, or NULL. */
int km_manifest_check(const km_manifest *m, const char *tree, const char **odd, km_err *err);

#endif
