/* hub/papers.h: papers by the Hub's index of arXiv, where an idea may come from.
 *
 *   GET /api/papers/search?q=&limit=    a list, each item the paper or {"paper": it}
 *   GET /api/papers/{arXiv id}          one
 *
 * Asked without the token: everybody may read them. What an answer says is a stranger's text: it is
 * made fit for a terminal and for JSON, in one line each, and a paper whose id is none of arXiv's
 * is left out.
 */
#ifndef KERNMILL_HUB_PAPERS_H
#define KERNMILL_HUB_PAPERS_H

#include <stdbool.h>

#include "core/limits.h"
#include "net/endpoint.h"

typedef struct {
    const char *id; /* "2401.12345" */
    const char *title;
    const char *summary;       /* the abstract */
    const char *short_summary; /* the Hub's own, by a model, or "" */
} km_paper;

typedef struct {
    km_paper papers[KM_PAPERS_MAX];
    size_t count;
} km_papers;

/* The id in "2401.12345", "2401.12345v2" or "arXiv:2401.12345", in the arena, without the version;
 * NULL when the text is none, or there is no memory. */
const char *km_paper_id(km_arena *a, const char *text);

/* At most `limit` (1 to KM_PAPERS_MAX) papers on `query`, in the Hub's order. Texts are in the
 * arena. Errors: those of km_http_send and km_http_expect; KM_EFORMAT for an answer that makes no
 * sense. */
int km_papers_search(km_arena *a, const km_endpoint *e, km_http *http, const char *query,
                     long limit, km_papers *out, km_err *err);

/* Adds one paper. Errors: also KM_ENOENT when the Hub has no such paper. */
int km_papers_add(km_arena *a, const km_endpoint *e, km_http *http, const char *id, km_papers *out,
                  km_err *err);

#endif
