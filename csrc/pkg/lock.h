/* pkg/lock.h: kernels.lock, and the digests that stand beside it.
 *
 *   kernels.lock               the `kernels` client's (0.17), byte for byte: which commit each
 *                              dependency is, [{"dependency": {"repo-id", "version" or "revision"},
 *                              "lock": {"commit"}}], sorted, without a newline at the end
 *   kernels.lock.digests.json  ours: of each of these commits every file below build/
 *
 *       {"schema": 1, "kernels": [{"repo-id", "version" or "revision", "commit",
 *                                  "files": {"build/<variant>/<name>": {"sha256", "size"}}}]}
 *
 * The client's format has no digests, and the client checks none. What the digests were made from
 * says hub/lock.h; here they are read, written and compared. What a lock says is believed by nobody
 * but whoever named the file: it belongs under version control, beside pyproject.toml.
 */
#ifndef KERNMILL_PKG_LOCK_H
#define KERNMILL_PKG_LOCK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/hash.h"
#include "core/str.h"

#define KM_LOCK_NAME          "kernels.lock"
#define KM_LOCK_COMMIT_BYTES  41 /* 40 hexadecimal digits */
#define KM_LOCK_DIGEST_SCHEMA 1

typedef struct {
    const char *path; /* from the root of the repository: "build/<variant>/<name>" */
    uint64_t size_bytes;
    char sha256[KM_SHA256_HEX_BYTES];
} km_lock_file;

typedef struct {
    const char *repo_id;
    int64_t version;      /* of the dependency, when it names no revision */
    const char *revision; /* or NULL */
    char commit[KM_LOCK_COMMIT_BYTES];
    km_lock_file *files; /* sorted by path */
    size_t file_count;
} km_lock_entry;

typedef struct {
    km_lock_entry *items; /* sorted as the client does: by name, versions before revisions */
    size_t count;
} km_lock;

/* FILE and FILE.digests.json; everything is in the arena. Errors: KM_ENOENT, with the line to type
 * when the digests alone are missing; KM_EFORMAT, also when the two do not belong together;
 * KM_ELIMIT. */
int km_lock_read(km_arena *a, const char *path, km_lock *out, km_err *err);

/* A member of metadata.json's "kernel-depends": "repo-id", and "version" or "revision". Only the
 * dependency of *out is filled; `name` is what errors call the file. Errors: KM_EFORMAT. */
int km_lock_dependency_read(km_arena *a, const json_t *o, const char *name, km_lock_entry *out,
                            km_err *err);

/* Writes both, each atomically, the digests first; a file that would not change is left alone. */
int km_lock_write(const char *path, const km_lock *lock, km_err *err);

/* Puts entries, and the files of each, into their order. */
void km_lock_sort(km_lock *lock);

/* Whether both are the same dependency. */
bool km_lock_same(const km_lock_entry *a, const km_lock_entry *b);

/* The first entry of a repository; with `revision` ("v2" is version 2) the one of that dependency.
 * NULL: there is none. */
const km_lock_entry *km_lock_find(const km_lock *lock, const char *repo_id, const char *revision);

/* The file of an entry, or NULL. */
const km_lock_file *km_lock_file_find(const km_lock_entry *e, const char *path);

/* "acme/relu version 1" */
char *km_lock_label(km_arena *a, const km_lock_entry *e);

/* Appends a line for each difference: what `now` has and `before` has not, and so on. `before` may
 * be NULL. */
int km_lock_compare(km_str *lines, const km_lock *before, const km_lock *now, km_err *err);

#endif
