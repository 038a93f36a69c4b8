/* net/cache.h: the Python client's cache of one repository, read and written as it does.
 *
 *   {root}/.locks/kernels--owner--name/{etag}.lock    flock(2), mode 0664, left behind
 *   {root}/kernels--owner--name/
 *     refs/v1                          a commit, 40 digits, no newline
 *     blobs/{etag}                     40 digits: git's blob id; 64: SHA-256 of the content
 *     blobs/{etag}.kernmill.incomplete ours, under the lock: what a later run goes on with
 *     snapshots/{commit}/a/b.so        -> ../../../../blobs/{etag}
 *     .no_exist/{commit}/{path}        read only: known not to be there
 *
 * A blob may be a link into a store that repositories share; it is read through, and replaced,
 * never written through. trees/ is neither written nor believed: it would promise files that are
 * not here (km_cache_forget_tree). A blob has its final name only after its digest was computed
 * here; the disk has it before the name.
 *
 * Who holds the lock of one blob and waits for another's may wait for ever: so a batch takes what
 * it gets at once, and waits only when it holds nothing.
 */
#ifndef KERNMILL_NET_CACHE_H
#define KERNMILL_NET_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"
#include "net/repo.h"

typedef struct {
    km_arena *arena;   /* borrowed; paths are made in it */
    const char *root;  /* HF_HUB_CACHE */
    const char *repo;  /* {root}/kernels--owner--name */
    const char *locks; /* {root}/.locks/kernels--owner--name */
} km_cache;

/* Touches nothing. Errors: KM_ENOMEM. */
int km_cache_init(km_cache *c, km_arena *a, const char *root, const km_repo *repo, km_err *err);

/* --- reading: NULL is "not here"; the disk is asked, the hub never --- */

/* The commit that a branch or tag was when it was last asked for; a commit is itself. */
const char *km_cache_ref(const km_cache *c, const char *revision);

/* The newest version branch of those that were downloaded, else "main". */
const char *km_cache_newest(const km_cache *c);

/* {repo}/snapshots/{commit}, there or not. */
char *km_cache_snapshot(const km_cache *c, const char *commit);

/* The file in a snapshot, when it is there to its last link. */
const char *km_cache_file(const km_cache *c, const char *commit, const char *path);

bool km_cache_knows_absent(const km_cache *c, const char *commit, const char *path);

/* --- writing --- */

typedef struct {
    char *path, *temporary;
    char etag[KM_ETAG_HEX_BYTES];
    uint64_t size_bytes; /* or KM_HTTP_SIZE_UNKNOWN */
    uint64_t have_bytes; /* of an earlier run, at the start of the temporary file */
    int fd;              /* of that, open for both; -1: the blob is here, with the right digest */
    int lock_fd;         /* -1: this file system has no locks */
} km_cache_blob;

#define KM_CACHE_BLOB_INIT { NULL, NULL, "", 0, 0, -1, -1 }

/* Takes a blob's lock and says what is missing of it. With `wait` up to KM_CACHE_LOCK_MS for
 * another process; else KM_ETIME at once when one has it. A blob that is here and is not what its
 * name says counts as missing. On error *out is released. */
int km_cache_blob_begin(const km_cache *c, const char *etag, uint64_t size_bytes, bool wait,
                        km_cache_blob *out, km_err *err);

/* Gives it its name. Errors: KM_EFORMAT when the digest or the size is another; then what was
 * downloaded is thrown away, for there is nothing to go on with. */
int km_cache_blob_finish(km_cache_blob *b, km_err *err);

/* Gives the lock back. What was downloaded and not finished stays for a later run. */
void km_cache_blob_release(km_cache_blob *b);

/* Puts a blob that is here into a snapshot. */
int km_cache_link(const km_cache *c, const char *commit, const char *path, const char *etag,
                  km_err *err);

/* Removes the Python client's list of a commit's files, {repo}/trees/{commit}.json. Where it
 * stands, that client's load from a lock wants every file of the list, other variants too, and
 * fails; without it what is here is enough, and a client that wants a list asks for it again. */
void km_cache_forget_tree(const km_cache *c, const char *commit);

/* Removes what runs that were killed left behind more than KM_CACHE_STALE_S ago, and none has gone
 * on with since. What cannot be removed stays. */
void km_cache_sweep(const km_cache *c);

/* Writes down what a branch or tag is; nothing for a commit. */
int km_cache_write_ref(const km_cache *c, const char *revision, const char *commit, km_err *err);

#endif
