/* net/wire_write.h: what the hub is asked to change a repository.
 *
 *   POST /api/repos/create                          a repository
 *   POST /api/kernels/{id}/branch/{name}            a branch, from main
 *   POST /api/kernels/{id}/preupload/{rev}          which way each file goes
 *   POST /kernels/{id}.git/info/lfs/objects/batch   where a large one's bytes go; then PUT, once or
 *                                                   in parts, and verify
 *   POST /api/kernels/{id}/commit/{rev}             all of it, or nothing: one JSON document a line
 *
 * Bytes go from the file to the network; none is held in memory as a whole. What is uploaded and in
 * no commit yet is seen by nobody, so all but the commit is safe to repeat; the commit is sent
 * once, and whoever lost its answer reads the branch again.
 */
#ifndef KERNMILL_NET_WIRE_WRITE_H
#define KERNMILL_NET_WIRE_WRITE_H

#include "net/wire.h"

typedef struct {
    const char *path; /* in the repository */
    const char *file; /* on the disk */
    uint64_t size_bytes;
    char git_id[KM_OID_HEX_BYTES]; /* of the content, both */
    char sha256[KM_ETAG_HEX_BYTES];
    bool large; /* what preupload said: by LFS; else in the commit's body */
} km_upload;

/* Whether what the hub has under this name is the file. */
bool km_upload_is(const km_upload *u, const km_hub_entry *there);

/* *made: it was not there before. Errors: KM_EENV when the token may not. */
int km_wire_create_repo(const km_wire *w, km_arena *a, const km_repo *repo, bool private_repo,
                        bool *made, km_err *err);

/* A branch that is there already is no error. */
int km_wire_create_branch(const km_wire *w, km_arena *a, const km_repo *repo, const char *name,
                          km_err *err);

/* A proposal (`create_pr`) asks for fewer rights. Sets `large`. Errors: KM_EFORMAT when the hub
 * would leave a file out, by its .gitignore. */
int km_wire_preupload(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                      bool create_pr, km_upload *files, size_t count, km_err *err);

/* The bytes of a file that is large, unless the hub has them. `revision` is the branch that they
 * are for. Errors: KM_EIO when the file is not what was hashed any more. */
int km_wire_upload(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                   const km_upload *file, km_err *err);

typedef struct {
    const char *summary;     /* a line */
    const char *description; /* or "" */
    const char *parent; /* the commit that the branch is at: else KM_EFORMAT, and nothing is done */
    const km_upload *files;
    size_t file_count;
    const char *const *deleted; /* paths */
    size_t deleted_count;
    bool create_pr; /* as a proposal, in a ref of its own */
} km_commit;

typedef struct {
    char commit[KM_OID_HEX_BYTES];
    const char *url;          /* in the arena */
    const char *pull_request; /* its address, or NULL */
    long pull_number;
} km_commit_result;

/* Errors: KM_ELIMIT beyond KM_HUB_INLINE_BYTES_MAX of files that are not large. After KM_EIO and
 * KM_ETIME it may have been done. */
int km_wire_commit(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                   const km_commit *c, km_commit_result *out, km_err *err);

#endif
