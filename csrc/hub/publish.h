/* hub/publish.h: a packed kernel to a hub, so that exactly these files are what others get.
 *
 *   refs, file lists -> difference -> repository, branch -> bytes that are missing -> one commit on
 *   v<version> with all variants -> the card on main -> everything read again, byte for byte
 *
 * What is there already is not sent again, so after an end in between it is done by running it once
 * more: the commit is made when it is not there, and not twice. Where its answer is lost, the
 * branch says whether it was made. Nobody sees a half: one commit holds all variants. Ours names
 * the commit that the difference was made against; `hf` cannot, and what came between shows when
 * all is read again.
 *
 * The branch is what the `kernels` client looks for; it knows no tags. Other variants of the
 * version that are there and not here (another machine's) stay, unless the branch is new: then what
 * it took from main under build/ goes. The card also goes to main, with its plots, when no newer
 * version is there: that is the page that people see.
 */
#ifndef KERNMILL_HUB_PUBLISH_H
#define KERNMILL_HUB_PUBLISH_H

#include "hub/packed.h"
#include "net/endpoint.h"

typedef enum {
    KM_TRANSPORT_HTTP, /* ours: for hubs that take LFS, or files in the commit */
    KM_TRANSPORT_HF /* the official program `hf`, which speaks Xet; it reads the token by itself */
} km_transport;

typedef struct {
    km_repo repo;
    km_transport transport;
    bool dry_run, create_pr, private_repo;
    const char *message; /* of the commit; NULL: one is made */
} km_publish_request;

typedef enum { KM_CHANGE_ADD, KM_CHANGE_REPLACE, KM_CHANGE_DELETE } km_change_kind;

typedef struct {
    km_change_kind kind;
    const char *path;
    const km_upload *file; /* NULL: it is deleted */
} km_change;

typedef struct {
    km_change *items; /* sorted by path */
    size_t count;
    uint64_t bytes; /* of what is added or replaced */
} km_changes;

typedef struct {
    const char *status; /* "no_changes", "would_upload", "uploaded", "pull_request_created" */
    const char *branch; /* "v1" */
    bool makes_repo, makes_branch; /* it was, or would be, made */
    km_changes changes;            /* of the branch */
    km_changes card;               /* of main */
    const char **kept;             /* variants that are there and not here */
    size_t kept_count;
    char commit[KM_OID_HEX_BYTES]; /* that the branch, or the proposal, is at; "" after a dry run */
    const char *pull_request;      /* its address, or NULL */
    uint64_t verified_bytes;       /* that were downloaded again and had the right digest */
} km_publish_result;

extern const char *const km_change_names[]; /* "add", "replace", "delete" */

/* The version on the hub must not be newer. Everything in the result is in the arena, or borrowed
 * from `packed`. Errors: KM_EUSAGE for a version that is older than the newest there, for a
 * proposal to a repository or a branch that is not there; KM_EFORMAT when the branch moved
 * meanwhile, or when what is read again is not what was sent; KM_EENV without a token or without
 * `hf`; those of net/. */
int km_publish(km_arena *a, const km_endpoint *e, km_http *http, const km_packed *packed,
               const km_publish_request *request, km_publish_result *out, km_err *err);

#endif
