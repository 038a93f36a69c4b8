/* hub/get.h: a kernel from a hub into the Python client's cache, or into a folder.
 *
 *   refs -> commit -> file list of build/ (sizes and digests) -> which variant, when none is named
 *        -> files, several at once -> links
 *
 * A file becomes visible in the snapshot, or in the folder, when the digests of all of them have
 * been computed here and are those of the list. The names of revisions and commits are asked for
 * once; what follows asks by the commit, so that a branch that moves meanwhile changes nothing.
 * Offline the cache alone answers; with a lock its files are read and held against that.
 * What a lock names is also made fit for the client's own load from it (net/cache.h, trees/).
 */
#ifndef KERNMILL_HUB_GET_H
#define KERNMILL_HUB_GET_H

#include <stdbool.h>
#include <stdint.h>

#include "hub/locked.h"
#include "net/cache.h"
#include "net/endpoint.h"
#include "net/wire.h"

typedef struct {
    km_repo repo;
    const char *revision; /* branch, tag or commit; NULL: the newest version branch, else main.
                             With a lock: which of its entries, when it has several */
    const char *variant;  /* a folder of build/; NULL: the one that this machine would use */
    bool all;             /* instead of one, all of them */
    const km_lock *lock;  /* which commit, and which files, it must be; NULL: none */
    const char *output;   /* a folder to make; NULL: the cache alone */
} km_get_request;

typedef struct {
    const char *revision;          /* as it was asked for, or chosen */
    char commit[KM_OID_HEX_BYTES]; /* what that is now */
    const char *variant;           /* NULL: all */
    const char *path;              /* the variant's folder; of all variants, the one above build/ */
    km_refusals refused; /* what is not the lock's: then nothing was made, and `path` is NULL */
    size_t file_count;
    uint64_t size_bytes, downloaded_bytes;
} km_get_result;

/* Everything in the result is in the arena. 0 also when files are refused.
 * Errors: KM_ENOENT with the variants, or the revisions, that there are; KM_ENOFIT when none is for
 * this machine; KM_EUSAGE when `output` exists; those of the files of net/. */
int km_get(km_arena *a, const km_endpoint *e, km_http *http, const km_get_request *request,
           km_get_result *out, km_err *err);

#endif
