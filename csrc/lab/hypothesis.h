/* lab/hypothesis.h: an idea's way through the lab.
 *
 *     proposed -> reviewed -> queued -> running -> evaluating -> accepted -> promoted
 *         |          |           |         |            |-> rejected, undecided
 *         |-> rejected, duplicate, stale    |-> failed, crashed, timed_out, invalid
 *                                 and from each before its end: cancelled
 *
 * Losing to the champion is "rejected"; "failed" is that there is no result. Each function is one
 * transaction, unless the caller has one open, and its event is in it.
 */
#ifndef KERNMILL_LAB_HYPOTHESIS_H
#define KERNMILL_LAB_HYPOTHESIS_H

#include "lab/db.h"

typedef struct {
    const char *key; /* the proposer's: the same again is the same idea */
    const char *title, *text;
    const char *payload; /* JSON for whoever works on it */
    const char *author, *source, *parent;
    int64_t priority;
} km_proposal;

/* *id: of the idea, also when it was there. */
int km_hypothesis_propose(km_db *db, int64_t campaign, const km_proposal *p, int64_t *id,
                          bool *made, km_err *err);

/* Approves ("reviewed") or rejects what is proposed. Errors: KM_EUSAGE in another state. */
int km_hypothesis_review(km_db *db, int64_t id, const char *reviewer, bool approve,
                         const char *text, km_err *err);

/* Hands an idea that is reviewed, undecided or failed to the queue, as a job of that kind with its
 * own payload, or `payload`. *job: its id. */
int km_hypothesis_queue(km_db *db, int64_t id, const char *kind, const char *payload, int64_t *job,
                        km_err *err);

/* To another state, with the reason. Errors: KM_EUSAGE when there is no such way. */
int km_hypothesis_move(km_db *db, int64_t id, const char *state, const char *reason, km_err *err);

/* What was tried elsewhere, as it is told there: an idea that is at its end from the start. Nothing
 * is ever done with it: it has no other state, and no job. */
typedef struct {
    km_proposal told;
    const char *state;  /* accepted, rejected, failed, crashed, timed_out or cancelled */
    int64_t created_us; /* 0: not told; then now */
    const char *file;   /* where it stood, for the history, */
    const char *digest; /* the SHA-256 of that, */
    int64_t line;       /* and its line, or its number */
} km_history;

/* *id: of the idea, also when it was there. Errors: KM_EBUG for another state. */
int km_hypothesis_import(km_db *db, int64_t campaign, const km_history *h, int64_t *id, bool *made,
                         km_err *err);

/* What its newest job makes of it: running, evaluating, failed. In the caller's transaction; 0 is
 * none. */
int km_hypothesis_follow(km_db *db, int64_t id, km_err *err);

typedef struct {
    int64_t id;
    const char *state, *title, *author, *payload, *parent, *commit, *patch, *manifest;
} km_idea;

/* Everything lives in the arena; "" is what there is not yet. */
int km_hypothesis_read(km_db *db, km_arena *a, int64_t id, km_idea *out, km_err *err);

/* "parent", "commit_id", "patch" or "manifest". */
int km_hypothesis_set(km_db *db, int64_t id, const char *column, const char *value, km_err *err);

#endif
