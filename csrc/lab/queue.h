/* lab/queue.h: work that is handed out once, and taken back from whoever is lost.
 *
 *     queued --claim--> leased --complete--> done
 *        ^                 |----fail-------> queued again, or dead after attempts_max
 *        |----expired------|----cancel-----> cancelled
 *
 * A claim raises the job's token, and what is said of the job afterwards must name it: a worker
 * that slept through its lease finds another token there, and its word changes nothing. A lease
 * ends when no heartbeat came for its length by the clock of the boot, or with the boot. Each
 * function is one transaction, and its event is in it.
 */
#ifndef KERNMILL_LAB_QUEUE_H
#define KERNMILL_LAB_QUEUE_H

#include "lab/db.h"

typedef struct {
    int64_t campaign;
    int64_t hypothesis;   /* 0: none */
    const char *key;      /* submitting it again is no second job */
    const char *kind;     /* "work", "evaluate": what a worker asks for */
    const char *payload;  /* JSON */
    int64_t priority;     /* higher first; then the older */
    int64_t attempts_max; /* 0: KM_LAB_ATTEMPTS */
} km_job_request;

typedef struct {
    int64_t id, hypothesis, token, attempts;
    const char *key, *kind, *payload; /* in the arena */
} km_job;

/* *id: of the job, also when it was there. *made: it was not. In the caller's transaction when one
 * is open. Errors: KM_EUSAGE when the key is another job's. */
int km_queue_submit(km_db *db, const km_job_request *r, int64_t *id, bool *made, km_err *err);

/* Takes the first that waits, of one of `kinds` (ends with NULL), or of any (NULL). Before that,
 * leases that ran out are ended. 1: *out is it; 0: there is none. In the caller's transaction when
 * one is open. Errors: KM_EUSAGE when the campaign's budget is spent. */
int km_queue_claim(km_db *db, km_arena *a, int64_t campaign, const char *const *kinds,
                   const char *worker, int64_t lease_s, km_job *out, km_err *err);

/* Whether the job is the token's now: 1 or 0. */
int km_queue_holds(km_db *db, int64_t job, int64_t token, km_err *err);

/* Whether the job was done with this very result: 1 or 0. Its worker says it twice when it did not
 * hear of the first time. */
int km_queue_has(km_db *db, int64_t job, int64_t token, const char *body, km_err *err);

/* The four below: 1, or 0 when the job is not this token's any more: then nothing was changed. In
 * the caller's transaction when one is open. */
int km_queue_beat(km_db *db, int64_t job, int64_t token, int64_t lease_s, km_err *err);
int km_queue_complete(km_db *db, int64_t job, int64_t token, const char *body, km_err *err);
int km_queue_fail(km_db *db, int64_t job, int64_t token, const char *why, km_err *err);
/* Not the job's fault: it waits again, and this was no attempt. */
int km_queue_release(km_db *db, int64_t job, int64_t token, const char *why, km_err *err);

/* 1, or 0 when it had ended. Its worker is told by its next heartbeat. */
int km_queue_cancel(km_db *db, int64_t job, const char *why, km_err *err);

/* Cancels what waits or runs for an idea that has no use for it any more; the idea stays as it is.
 * In the caller's transaction. */
int km_queue_drop(km_db *db, int64_t hypothesis, const char *why, km_err *err);

/* Whether every result is what was handed in, by the digest in the history. Errors: KM_EFORMAT with
 * the first that is not. */
int km_queue_check(km_db *db, km_err *err);

/* How many jobs of these kinds (`beside` may be NULL) are leased, to whoever; a lease that ran out
 * is none. */
int km_queue_at_work(km_db *db, int64_t campaign, const char *kind, const char *beside,
                     int64_t *count, km_err *err);

/* Ends the leases that ran out. *count: how many. */
int km_queue_sweep(km_db *db, int64_t *count, km_err *err);

#endif
