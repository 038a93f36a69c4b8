/* lab/proposal.h: an idea as a researcher hands it in, in JSON. */
#ifndef KERNMILL_LAB_PROPOSAL_H
#define KERNMILL_LAB_PROPOSAL_H

#include <jansson.h>

#include "lab/hypothesis.h"

/* {"key", "title"} and, if wanted, "text", "payload" (any JSON), "author", "source", "parent",
 * "priority". *out borrows from `doc` and the arena. Errors: KM_EFORMAT, KM_ELIMIT. */
int km_proposal_read(km_arena *a, const json_t *doc, const char *name, km_proposal *out,
                     km_err *err);

/* Proposes each of a list. *made: how many were new. In the caller's transaction. */
int km_proposal_take(km_db *db, km_arena *a, int64_t campaign, const json_t *list, const char *name,
                     int64_t *made, km_err *err);

#endif
