/* lab/event.h: the history: what happened, in its order, each chained to the one before. */
#ifndef KERNMILL_LAB_EVENT_H
#define KERNMILL_LAB_EVENT_H

#include <jansson.h>

#include "core/hash.h"
#include "lab/db.h"

/* Adds an event in the open transaction: of "job" 7, say. `body` is freed; NULL: {}. */
int km_event_add(km_db *db, const char *subject, int64_t id, const char *what, json_t *body,
                 km_err *err);

/* [{"id","at_us","subject","what","body"}] of one subject ("job 7"), or of all (NULL), the last
 * `limit` of them, oldest first. New reference. */
int km_event_list(km_db *db, const char *subject, int64_t limit, json_t **out, km_err *err);

/* The last event's number, and the chain up to it: what names the whole history until then. */
int km_event_head(km_db *db, int64_t *id, char chain[KM_SHA256_HEX_BYTES], km_err *err);

/* Whether the chain up to event `id` is this one: 1 or 0. */
int km_event_is(km_db *db, int64_t id, const char *chain, km_err *err);

/* Whether every event is what was written: KM_EFORMAT with the first that is not. */
int km_event_check(km_db *db, km_err *err);

#endif
