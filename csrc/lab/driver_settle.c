/* What a run's end means for its job. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lab/apply.h"
#include "lab/driver_internal.h"
#include "lab/lease.h"
#include "lab/queue.h"
#include "lab/run.h"

#define REFUSED 2 /* a result, by what it says */

/* Whether it is the worker's: a result that is none of its job's kind, a tree that git does not
 * take, or more than we do. */
static bool is_its_fault(int rc)
{
    return rc == KM_EFORMAT || rc == KM_EUSAGE || rc == KM_ECHILD || rc == KM_ELIMIT;
}

/* What is the worker's fault is no end of ours. */
static int apply(struct km_driving *d, const km_run *r, const char *body, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc = (d->o->apply ? d->o->apply : km_apply)(d->lab, r->job, r->token, body, &why);

    if (is_its_fault(rc)) {
        km_driving_say(d, "job %" PRId64 ": %s", r->job, why.message);
        km_apply_cost(d->lab, r->job, r->token, body, NULL);
        rc = km_queue_fail(&d->lab->db, r->job, r->token, why.message, err);
        d->out->failed++;
        return rc < 0 ? rc : REFUSED;
    }
    if (rc < 0 && err)
        *err = why;
    return rc;
}

/* Another's by now: what it ran is not for us to hand in. */
static int lose(struct km_driving *d, const km_run *r, const char *why)
{
    d->out->lost++;
    km_driving_say(d, "job %" PRId64 ": %s", r->job, why);
    return 0;
}

static int fail(struct km_driving *d, const km_run *r, const char *why, km_err *err)
{
    int rc = km_queue_fail(&d->lab->db, r->job, r->token, why, err);

    if (rc < 0)
        return rc;
    if (rc == 0)
        return lose(d, r, "another worker has it");
    d->out->failed++;
    km_driving_say(d, "job %" PRId64 ": %s", r->job, why);
    return 0;
}

/* What became of its idea by that, if it is decided; what a holdout leaves accepted was said. */
static int say_verdict(const struct km_driving *d, const km_run *r, km_err *err)
{
    bool is_holdout = r->kind->kind && strcmp(r->kind->kind, "holdout") == 0;
    sqlite3_stmt *s = NULL;
    int rc = km_db_query(&d->lab->db, &s, err,
                         "SELECT title, state, CASE WHEN reason <> '' THEN reason ELSE ifnull("
                         "(SELECT reason FROM decisions WHERE hypothesis = h.id"
                         " ORDER BY decisions.id DESC LIMIT 1), '') END FROM hypotheses h"
                         " WHERE id = ? AND state NOT IN ('proposed', 'reviewed', 'queued',"
                         " 'running', 'evaluating') AND NOT (state = 'accepted' AND ?)",
                         "ii", r->hypothesis, (int64_t)is_holdout);

    if (rc < 0)
        return rc;
    rc = km_db_step(&d->lab->db, s, err);
    if (rc == 1)
        km_driving_say(
            d, "hypothesis %" PRId64 " (%.80s): %s%s%.400s", r->hypothesis,
            (const char *)sqlite3_column_text(s, 0), (const char *)sqlite3_column_text(s, 1),
            sqlite3_column_bytes(s, 2) ? ": " : "", (const char *)sqlite3_column_text(s, 2));
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

static int hand_in(struct km_driving *d, const km_run *r, const char *body, km_err *err)
{
    int rc = apply(d, r, body, err);

    if (rc == 1) {
        d->out->done++;
        d->news = true;
        km_driving_say(d, "job %" PRId64 ": done", r->job);
        rc = say_verdict(d, r, err);
    } else if (rc == 0) {
        lose(d, r, "another worker has it; this result is refused");
    }
    return rc < 0 ? rc : 0;
}

static int give_back(struct km_driving *d, const km_run *r, km_err *err)
{
    const char *why = r->killed ? r->killed : r->why;
    int rc;

    if (r->lost)
        return lose(d, r, why);
    if (!r->stopped && !r->excused)
        return fail(d, r, why, err);
    rc = km_queue_release(&d->lab->db, r->job, r->token, why, err);
    if (rc == 0)
        return lose(d, r, "another worker has it, or it was cancelled");
    km_driving_say(d, "job %" PRId64 ": %s", r->job, why);
    return rc < 0 ? rc : 0;
}

static int spend(struct km_driving *d, const km_run *r, km_err *err)
{
    if (r->gpu_seconds <= 0 && r->money <= 0)
        return 0;
    return km_lease_spend(&d->lab->db, d->lab->campaign, r->job, r->token, r->gpu_seconds, r->money,
                          err);
}

static int settle(struct km_driving *d, km_run *r, km_err *err)
{
    km_err why = KM_ERR_INIT;
    char *body = NULL;
    bool good = r->good && !r->killed;
    int rc, read = good ? km_run_result(r, &body, &why) : 0;

    rc = spend(d, r, err);
    if (rc == 0 && !body)
        km_run_spend(d->lab, r);
    if (rc == 0 && good)
        rc = read < 0 ? fail(d, r, why.message, err) : hand_in(d, r, body, err);
    else if (rc == 0)
        rc = give_back(d, r, err);
    free(body);
    if (rc == 0)
        r->state = KM_RUN_FREE;
    return rc;
}

/* What that allocates, files of a change for one, goes with it. */
int km_driving_settle(struct km_driving *d, km_run *r, km_err *err)
{
    km_arena kept = km_lab_arena_begin(d->lab);
    int rc;

    rc = settle(d, r, err);
    km_lab_arena_end(d->lab, kept);
    return rc;
}
