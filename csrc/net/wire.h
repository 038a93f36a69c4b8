/* net/wire.h: what the hub is asked to read a repository, and what of its answers is believed.
 *
 *   GET  /api/kernels/{id}/revision/{rev}        the commit of a revision, and its files
 *   GET  /api/kernels/{id}/refs                  branches and tags
 *   GET  /api/kernels/{id}/tree/{rev}[/{sub}]    files with sizes and digests, page by page
 *   GET  /api/kernels?search=&author=&limit=     kernels, page by page
 *   HEAD /kernels/{id}/resolve/{rev}/{path}      one file: commit, digest, size, where it lies
 *
 * (models: /api/models and no prefix). An answer that lacks what it must have, or has a name that
 * could leave its folder, is an error as a whole: KM_EFORMAT. Arrays and texts are in the arena.
 */
#ifndef KERNMILL_NET_WIRE_H
#define KERNMILL_NET_WIRE_H

#include <jansson.h>
#include <stdint.h>

#include "net/http.h"
#include "net/repo.h"

typedef struct {
    km_http *http;
    const char *endpoint; /* "https://hub.example" */
} km_wire;

typedef struct {
    char commit[KM_OID_HEX_BYTES];
    const char **files; /* names; none from a hub that does not list a kernel's */
    size_t file_count;
} km_hub_info;

/* `revision` NULL: the default branch. */
int km_wire_info(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                 km_hub_info *out, km_err *err);

typedef struct {
    const char *name; /* "v1" */
    char commit[KM_OID_HEX_BYTES];
} km_hub_ref;

typedef struct {
    km_hub_ref *branches, *tags;
    size_t branch_count, tag_count;
} km_hub_refs;

int km_wire_refs(const km_wire *w, km_arena *a, const km_repo *repo, km_hub_refs *out, km_err *err);

/* The commit of a branch, else of a tag, of that name; or NULL. Borrowed. */
const char *km_hub_refs_find(const km_hub_refs *refs, const char *name);

typedef struct {
    const char *path; /* from the root of the repository */
    bool is_folder;
    uint64_t size_bytes;            /* of the content */
    char oid[KM_OID_HEX_BYTES];     /* git's, of the file (or of the pointer to it) or the folder */
    char sha256[KM_ETAG_HEX_BYTES]; /* of the content, when it is in LFS; else "" */
} km_hub_entry;

typedef struct {
    km_hub_entry *entries; /* sorted bytewise by path, each path once */
    size_t count;
} km_hub_tree;

/* `sub` is a folder, or NULL for the root. */
int km_wire_tree(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                 const char *sub, bool recursive, km_hub_tree *out, km_err *err);

/* What names a file's content in the cache: the sha256, or else git's id. */
const char *km_hub_entry_etag(const km_hub_entry *e);

const km_hub_entry *km_hub_tree_find(const km_hub_tree *t, const char *path);

typedef struct {
    char commit[KM_OID_HEX_BYTES];
    char etag[KM_ETAG_HEX_BYTES]; /* 40 digits: git's blob id; 64: sha256 */
    uint64_t size_bytes;          /* or KM_HTTP_SIZE_UNKNOWN */
    const char *location;         /* on another host, for a file in LFS; or NULL */
} km_hub_file;

int km_wire_resolve(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                    const char *path, km_hub_file *out, km_err *err);

typedef struct {
    const char *id; /* "owner/name" */
    bool trusted;   /* the hub lists its owner as a publisher whom `kernels` trusts */
} km_hub_kernel;

/* One page of a listing. */
typedef struct {
    km_hub_kernel *items;
    size_t count;
    const char *next; /* where the page after it is; NULL: it is the last */
} km_hub_kernels;

/* Kernels whose name has `text` in it, of `author`; NULL for either: any. `per_page` is a wish. */
char *km_wire_search_url(const km_wire *w, km_arena *a, const char *text, const char *author,
                         long per_page);

/* A page, the first by km_wire_search_url, the others by `next`. */
int km_wire_kernels(const km_wire *w, km_arena *a, const char *url, km_hub_kernels *out,
                    km_err *err);

/* Where the bytes of a file are asked for. */
char *km_wire_file_url(const km_wire *w, km_arena *a, const km_repo *repo, const char *revision,
                       const char *path);

/* {endpoint}/api/kernels/{id}[/{what}[/{revision}[/{sub}]]]; NULL leaves one and all after it out.
 */
char *km_wire_api_url(const km_wire *w, km_arena *a, const km_repo *repo, const char *what,
                      const char *revision, const char *sub);

/* The readers of the answers, without a hub. `name` is what errors call the answer. */
int km_hub_info_read(km_arena *a, const json_t *doc, const char *name, km_hub_info *out,
                     km_err *err);
int km_hub_refs_read(km_arena *a, const json_t *doc, const char *name, km_hub_refs *out,
                     km_err *err);
/* Of the pages of one listing, in their order; then sorted and checked as a whole. */
int km_hub_tree_read(km_arena *a, json_t *const *pages, size_t page_count, const char *sub,
                     const char *name, km_hub_tree *out, km_err *err);
int km_hub_kernels_read(km_arena *a, const json_t *doc, const char *name, km_hub_kernels *out,
                        km_err *err);
int km_hub_file_read(km_arena *a, const km_http_answer *answer, km_hub_file *out, km_err *err);

#endif
