/* hub/search.h: which kernels a hub has, and which of them this machine could use.
 *
 *   a page of the list -> refs of each -> the folders of build/ of each -> metadata.json of each
 *
 * Each arrow is a batch, several requests at once. Judged is the newest version by explain's rules,
 * which are the `kernels` client's, over what these answers say: the names of the folders choose,
 * metadata.json of the one that is chosen can still be in the way. The libraries are not here;
 * what is in them, `kernmill explain` says of what was got. Whether the hub trusts a publisher is
 * told, and decides nothing.
 *
 * The hub's list is that of models with another name (huggingface_hub 2.4 has no function for it):
 * GET /api/kernels?search=&author=&limit=, Link to the next page. */
#ifndef KERNMILL_HUB_SEARCH_H
#define KERNMILL_HUB_SEARCH_H

#include "net/endpoint.h"
#include "net/wire.h"
#include "pkg/system.h"

typedef struct {
    const char *text;   /* in the name; NULL: any */
    const char *author; /* the part before the slash; NULL: any */
    long limit;         /* how many at most, 1 to KM_SEARCH_KERNELS_MAX */
} km_search_request;

typedef enum {
    KM_HIT_FITS,     /* `variant` would be chosen, and nothing known is in the way */
    KM_HIT_DOES_NOT, /* `reason` */
    KM_HIT_UNKNOWN   /* the hub did not say: `reason` */
} km_hit_verdict;

typedef struct {
    const char *id;
    bool trusted;
    const char *revision;          /* "v2"; NULL: not known */
    char commit[KM_OID_HEX_BYTES]; /* of that, or "" */
    const char *variant;           /* that the client would choose; NULL: none */
    size_t variant_count;
    km_hit_verdict verdict;
    const char *reason; /* NULL when it fits */
} km_search_hit;

/* Called for each kernel in the list's order, a page at a time. Texts live until it returns; a
 * negative result ends the search. */
typedef int km_search_found(void *context, const km_search_hit *hit, km_err *err);

/* *more: the hub has more than `limit`. A kernel that may not be read, or whose answers make no
 * sense, is a hit of its own; the list itself is not: errors are those of km_wire_kernels, and
 * KM_EENV offline. */
int km_search(km_arena *a, const km_endpoint *e, km_http *http, const km_search_request *request,
              const km_system *system, km_search_found *found, void *context, bool *more,
              km_err *err);

#endif
