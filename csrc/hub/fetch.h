/* hub/fetch.h: the files of a list into the cache's blobs, several at once, each one checked. */
#ifndef KERNMILL_HUB_FETCH_H
#define KERNMILL_HUB_FETCH_H

#include "core/hash.h"
#include "net/cache.h"
#include "net/wire.h"

/* Whether an entry of a list belongs to a kernel: what a Python process left behind there does not.
 */
bool km_fetch_wants(const km_hub_entry *e);

/* Downloads what is missing of these files' content. 0: all of it is in blobs/, every digest
 * computed in this call. *downloaded_bytes counts what came over the network.
 * Errors: KM_EFORMAT for a wrong digest, KM_ETIME for a lock; those of km_http_run. What was
 * downloaded until then stays for the next call. */
int km_fetch_files(const km_wire *w, const km_cache *c, const km_repo *repo, const char *commit,
                   const km_hub_tree *files, uint64_t *downloaded_bytes, km_err *err);

/* The SHA-256 of a file's content: the list's, when it has one; else computed from the blob, which
 * must be here. */
int km_fetch_sha256(const km_cache *c, const km_hub_entry *e, char out[KM_SHA256_HEX_BYTES],
                    km_err *err);

#endif
