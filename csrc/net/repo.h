/* net/repo.h: names that come from a command line or a hub: repositories, revisions, commits,
 * digests, files. Each is checked before it becomes part of an address or a path. */
#ifndef KERNMILL_NET_REPO_H
#define KERNMILL_NET_REPO_H

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

#define KM_OID_HEX_BYTES  41 /* a git SHA-1, with the terminator */
#define KM_ETAG_HEX_BYTES 65 /* that, or a SHA-256 */

typedef enum { KM_REPO_KERNEL, KM_REPO_MODEL } km_repo_type;

typedef struct {
    km_repo_type type;
    const char *id; /* "owner/name" */
} km_repo;

/* "owner/name", each of letters, digits, '_', '.' and '-', at most 96, neither starting nor ending
 * with '.' or '-', without "--" and "..", not ending in ".git". Errors: KM_EUSAGE. */
int km_repo_parse(km_arena *a, const char *text, km_repo_type type, km_repo *out, km_err *err);

/* "kernels--owner--name", as the cache has it. */
char *km_repo_folder(km_arena *a, const km_repo *repo);

/* A branch, a tag, "refs/pr/3" or a commit: a relative path of at most KM_HUB_REVISION_BYTES_MAX,
 * with no part that ends in ".lock". Errors: KM_EFORMAT. */
int km_revision_check(const char *revision, km_err *err);

/* N of a version branch, "v<N>"; -1: it is none. */
long km_revision_version(const char *revision);

/* Exactly 40, or 64, lower-case hexadecimal digits. */
bool km_is_commit(const char *text);
bool km_is_sha256(const char *text);

/* A file's name in a repository: as km_path_check_foreign, at most KM_HUB_PATH_BYTES_MAX. Names
 * that differ in case only are two files of a list; `get` writes no two such. Errors: KM_EFORMAT.
 */
int km_repo_path_check(const char *path, km_err *err);

#endif
