/* hub/locked.h: whether what a hub has for a commit is what a lock says.
 *
 * A commit names its content only for who believes the hub; the digests of a lock (pkg/lock.h) were
 * written down when it was made. What is not theirs is refused, all of it by name, before anything
 * has its place in the cache. */
#ifndef KERNMILL_HUB_LOCKED_H
#define KERNMILL_HUB_LOCKED_H

#include "net/cache.h"
#include "net/wire.h"
#include "pkg/lock.h"

typedef struct {
    const char *path;    /* of the repository */
    const char *message; /* "is not in the lock" */
} km_refusal;

typedef struct {
    km_refusal *items; /* in the arena */
    size_t count;
} km_refusals;

/* By the hub's list alone: `files` are those that are wanted of the folder `sub`. */
int km_locked_check_list(km_arena *a, const km_lock_entry *e, const char *sub,
                         const km_hub_tree *files, km_refusals *out, km_err *err);

/* Those of which the list has no SHA-256, by the blobs, which were downloaded. */
int km_locked_check_blobs(km_arena *a, const km_lock_entry *e, const km_cache *c,
                          const km_hub_tree *files, km_refusals *out, km_err *err);

#endif
