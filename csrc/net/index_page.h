/* net/index_page.h: a page of a static index of wheels, as PEP 503 has it: HTML whose links are
 * files.
 *
 *     <a href="kernmill_rmsnorm-1.0.0-py3-none-manylinux_2_28_x86_64.whl#sha256=..." ...>...</a>
 *
 * Only links are read, and of them only wheels with a SHA-256. */
#ifndef KERNMILL_NET_INDEX_PAGE_H
#define KERNMILL_NET_INDEX_PAGE_H

#include "core/arena.h"
#include "core/err.h"
#include "net/repo.h"

typedef struct {
    const char *name; /* of the file, decoded: "x-1.0+sm90-py3-none-any.whl" */
    const char *href; /* as the page has it, without the fragment; entities decoded */
    char sha256[KM_ETAG_HEX_BYTES];
} km_index_link;

typedef struct {
    km_index_link *links; /* in the arena */
    size_t count;
    size_t unsigned_count; /* wheels that were left out, for they have no SHA-256 */
} km_index_page;

/* Errors: KM_EFORMAT for a name that could leave its folder, KM_ELIMIT beyond
 * KM_CANDIDATES_MAX links. `name` is what errors call the page. */
int km_index_page_read(km_arena *a, const char *html, size_t size, const char *name,
                       km_index_page *out, km_err *err);

#endif
