#include "lab/queue.h"

#include <stdio.h>
#include <string.h>

#include "core/hash.h"
#include "core/limits.h"
#include "core/str.h"
#include "lab/alert.h"
#include "lab/budget.h"
#include "lab/clock.h"
#include "lab/event.h"
#include "lab/hypothesis.h"

/* --- submit --- */

static int insert(km_db *db, const km_job_request *r, int64_t *id, km_err *err)
{
    int64_t attempts = r->attempts_max ? r->attempts_max : KM_LAB_ATTEMPTS;
    int rc = km_db_run(
        db, NULL, err,
        "INSERT INTO jobs (campaign, hypothesis, key, kind, payload, priority, state,"
        " attempts_max, created_us) VALUES (?, nullif(?, 0), ?, ?, ?, ?, 'queued', ?, ?)",
        "iitttiii", r->campaign, r->hypothesis, r->key, r->kind, r->payload, r->priority, attempts,
        km_clock_us());

    if (rc == 0) {
        *id = sqlite3_last_insert_rowid(db->handle);
        rc = km_event_add(db, "job", *id, "submitted",
                          json_pack("{s:s,s:s}", "key", r->key, "kind", r->kind), err);
    }
    return rc;
}

/* The job that has the key must be this one. */
static int check_same(km_db *db, const km_job_request *r, int64_t id, km_err *err)
{
    int64_t same;
    int rc = km_db_int(db, &same, 0, err,
                       "SELECT 1 FROM jobs WHERE id = ? AND kind = ? AND payload = ?", "itt", id,
                       r->kind, r->payload);

    if (rc == 0 && !same)
        return km_fail(err, KM_EUSAGE, "the key '%s' is job %lld's, which is another one", r->key,
                       (long long)id);
    return rc;
}

int km_queue_submit(km_db *db, const km_job_request *r, int64_t *id, bool *made, km_err *err)
{
    bool own;
    int rc = km_db_enter(db, &own, err);

    *made = false;
    if (rc == 0)
        rc = km_db_int(db, id, 0, err, "SELECT id FROM jobs WHERE campaign = ? AND key = ?", "it",
                       r->campaign, r->key);
    if (rc == 0 && *id) {
        rc = check_same(db, r, *id, err);
    } else if (rc == 0) {
        *made = true;
        rc = insert(db, r, id, err);
    }
    return km_db_leave(db, own, rc, err);
}

/* What became of a job becomes of its hypothesis. */
static int follow(km_db *db, int64_t job, km_err *err)
{
    int64_t hypothesis;
    int rc = km_db_int(db, &hypothesis, 0, err, "SELECT hypothesis FROM jobs WHERE id = ?", "i",
                       job);

    return rc == 0 ? km_hypothesis_follow(db, hypothesis, err) : rc;
}

/* --- leases that ended --- */

static int end_lease(km_db *db, int64_t job, int64_t token, const char *how, km_err *err)
{
    return km_db_run(db, NULL, err,
                     "UPDATE leases SET ended_us = ?, how = ? WHERE job = ? AND token = ?", "itii",
                     km_clock_us(), how, job, token);
}

/* After the last attempt nobody takes it any more: a person has to look. */
static int tell_dead(km_db *db, int64_t job, const char *why, km_err *err)
{
    km_str title = KM_STR_INIT, text = KM_STR_INIT;
    char subject[32], key[64];
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err,
                         "SELECT jobs.campaign, kind, attempts, ifnull(title, '') FROM jobs"
                         " LEFT JOIN hypotheses ON hypotheses.id = hypothesis"
                         " WHERE jobs.id = ? AND jobs.state = 'dead'",
                         "i", job);

    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1) {
        snprintf(subject, sizeof subject, "job %lld", (long long)job);
        snprintf(key, sizeof key, "%s is dead", subject);
        km_str_printf(&title, "%s (%s) is dead after %lld attempts", subject,
                      (const char *)sqlite3_column_text(s, 1),
                      (long long)sqlite3_column_int64(s, 2));
        km_str_printf(&text, "%s%s%s", (const char *)sqlite3_column_text(s, 3),
                      *sqlite3_column_text(s, 3) ? ": " : "", why);
        rc = km_alert_add(db, sqlite3_column_int64(s, 0), key, "error", title.data, text.data,
                          subject, err);
    }
    sqlite3_finalize(s);
    km_str_release(&title);
    km_str_release(&text);
    return rc;
}

/* A job that its worker did not end: it waits again, or has been tried often enough. */
static int give_back(km_db *db, int64_t job, int64_t token, const char *how, const char *why,
                     km_err *err)
{
    int rc = km_db_run(db, NULL, err,
                       "UPDATE jobs SET state = CASE WHEN attempts >= attempts_max THEN 'dead'"
                       " ELSE 'queued' END, error = ?, worker = '', lease_boot = '',"
                       " ended_us = CASE WHEN attempts >= attempts_max THEN ? ELSE 0 END"
                       " WHERE id = ? AND token = ?",
                       "tiii", why, km_clock_us(), job, token);

    if (rc == 0)
        rc = end_lease(db, job, token, how, err);
    if (rc == 0)
        rc = km_event_add(db, "job", job, how,
                          json_pack("{s:I,s:s}", "token", (json_int_t)token, "why", why), err);
    if (rc == 0)
        rc = tell_dead(db, job, why, err);
    return rc == 0 ? follow(db, job, err) : rc;
}

static int sweep(km_db *db, int64_t *count, km_err *err)
{
    char boot[KM_BOOT_ID_BYTES];
    sqlite3_stmt *s = NULL;
    int rc = km_clock_boot_id(boot, err);

    *count = 0;
    if (rc == 0)
        rc = km_db_query(db, &s, err,
                         "SELECT id, token, worker FROM jobs WHERE state = 'leased'"
                         " AND (lease_boot <> ? OR lease_until_ms < ?)",
                         "ti", boot, km_clock_boot_ms());
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(db, s, err)) == 1) {
        rc = give_back(db, sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), "expired",
                       "its worker was not heard of any more", err);
        if (rc < 0)
            break;
        ++*count;
    }
    sqlite3_finalize(s);
    return rc;
}

int km_queue_sweep(km_db *db, int64_t *count, km_err *err)
{
    bool own;
    int rc = km_db_enter(db, &own, err);

    if (rc == 0)
        rc = sweep(db, count, err);
    return km_db_leave(db, own, rc, err);
}

int km_queue_at_work(km_db *db, int64_t campaign, const char *kind, const char *beside,
                     int64_t *count, km_err *err)
{
    char boot[KM_BOOT_ID_BYTES];
    int rc = km_clock_boot_id(boot, err);

    return rc == 0 ? km_db_int(db, count, 0, err,
                               "SELECT count(*) FROM jobs WHERE state = 'leased' AND campaign = ?"
                               " AND kind IN (?, ?) AND lease_boot = ? AND lease_until_ms >= ?",
                               "ittti", campaign, kind, beside, boot, km_clock_boot_ms())
                   : rc;
}

/* --- claim --- */

static int read_job(km_db *db, km_arena *a, int64_t id, km_job *out, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(
        db, &s, err,
        "SELECT ifnull(hypothesis, 0), token, attempts, key, kind, payload FROM jobs"
        " WHERE id = ?",
        "i", id);

    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1)
        *out = (km_job){ id,
                         sqlite3_column_int64(s, 0),
                         sqlite3_column_int64(s, 1),
                         sqlite3_column_int64(s, 2),
                         km_db_text(a, s, 3),
                         km_db_text(a, s, 4),
                         km_db_text(a, s, 5) };
    sqlite3_finalize(s);
    if (rc == 1 && (!out->key || !out->kind || !out->payload))
        return km_fail_nomem(err);
    return rc < 0 ? rc : 0;
}

static int lease(km_db *db, int64_t id, const char *worker, int64_t lease_s, km_err *err)
{
    char boot[KM_BOOT_ID_BYTES];
    int64_t now = km_clock_us();
    int rc = km_clock_boot_id(boot, err);

    if (rc == 0)
        rc = km_db_run(
            db, NULL, err,
            "UPDATE jobs SET state = 'leased', token = token + 1, attempts = attempts + 1,"
            " worker = ?, lease_boot = ?, lease_until_ms = ?, started_us = ?, error = ''"
            " WHERE id = ?",
            "ttiii", worker, boot, km_clock_boot_ms() + lease_s * 1000, now, id);
    if (rc == 0)
        rc = km_db_run(db, NULL, err,
                       "INSERT INTO leases (job, token, worker, began_us)"
                       " SELECT id, token, worker, ? FROM jobs WHERE id = ?",
                       "ii", now, id);
    if (rc == 0)
        rc = km_event_add(db, "job", id, "claimed", json_pack("{s:s}", "worker", worker), err);
    return rc == 0 ? follow(db, id, err) : rc;
}

struct waiting {
    int64_t id, priority; /* id 0: none */
};

/* The first of one kind, by jobs_to_claim; NULL: of any. */
static int find_first(km_db *db, int64_t campaign, const char *kind, struct waiting *out,
                      km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err,
                         kind ? "SELECT id, priority FROM jobs WHERE state = 'queued'"
                                " AND campaign = ? AND kind = ? ORDER BY priority DESC, id LIMIT 1"
                              : "SELECT id, priority FROM jobs WHERE state = 'queued'"
                                " AND campaign = ? ORDER BY priority DESC, id LIMIT 1",
                         kind ? "it" : "i", campaign, kind);

    *out = (struct waiting){ 0, 0 };
    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1)
        *out = (struct waiting){ sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1) };
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

static int find_job(km_db *db, int64_t campaign, const char *const *kinds, int64_t *id, km_err *err)
{
    struct waiting best, next;
    int rc = find_first(db, campaign, kinds ? kinds[0] : NULL, &best, err);

    for (size_t i = 1; rc == 0 && kinds && kinds[0] && kinds[i]; i++) {
        rc = find_first(db, campaign, kinds[i], &next, err);
        if (next.id && (!best.id || next.priority > best.priority ||
                        (next.priority == best.priority && next.id < best.id)))
            best = next;
    }
    *id = best.id;
    return rc;
}

/* In the transaction. 1: claimed. */
static int claim(km_db *db, km_arena *a, int64_t campaign, const char *const *kinds,
                 const char *worker, int64_t lease_s, km_job *out, km_err *err)
{
    int64_t expired, id = 0;
    int rc = sweep(db, &expired, err);

    if (rc == 0)
        rc = find_job(db, campaign, kinds, &id, err);
    if (rc == 0 && id)
        rc = km_budget_check(db, campaign, err);
    if (rc == 0 && id)
        rc = km_budget_spend(db, campaign, KM_BUDGET_RUNS, 1, err);
    if (rc == 0 && id)
        rc = lease(db, id, worker, lease_s, err);
    if (rc == 0 && id)
        rc = read_job(db, a, id, out, err);
    return rc == 0 ? id != 0 : rc;
}

int km_queue_claim(km_db *db, km_arena *a, int64_t campaign, const char *const *kinds,
                   const char *worker, int64_t lease_s, km_job *out, km_err *err)
{
    bool own;
    int rc = km_db_enter(db, &own, err);

    if (rc == 0)
        rc = claim(db, a, campaign, kinds, worker, lease_s ? lease_s : KM_LAB_LEASE_S, out, err);
    return km_db_leave(db, own, rc, err);
}

/* --- what a worker says --- */

/* Whether the job is the token's now. Also a lease that ran out is, as long as nobody took the job:
 * then no other worker can have begun it. */
int km_queue_holds(km_db *db, int64_t job, int64_t token, km_err *err)
{
    int64_t yes;
    int rc = km_db_int(db, &yes, 0, err,
                       "SELECT 1 FROM jobs WHERE id = ? AND token = ? AND state = 'leased'", "ii",
                       job, token);

    return rc < 0 ? rc : (int)yes;
}

int km_queue_has(km_db *db, int64_t job, int64_t token, const char *body, km_err *err)
{
    int64_t yes;
    int rc = km_db_int(db, &yes, 0, err,
                       "SELECT 1 FROM results WHERE job = ? AND token = ? AND body = ?", "iit", job,
                       token, body);

    return rc < 0 ? rc : (int)yes;
}

static int beat(km_db *db, int64_t job, int64_t lease_s, km_err *err)
{
    return km_db_run(db, NULL, err, "UPDATE jobs SET lease_until_ms = ? WHERE id = ?", "ii",
                     km_clock_boot_ms() + (lease_s ? lease_s : KM_LAB_LEASE_S) * 1000, job);
}

static int digest_of(const char *body, char out[KM_SHA256_HEX_BYTES], km_err *err)
{
    km_sha256 sum;
    int rc = km_hash_bytes(body, strlen(body), &sum, err);

    if (rc == 0)
        km_hash_hex(&sum, out);
    return rc;
}

/* Each result that the history has a digest of; `s` steps over (job, digest, body). */
static int check_result(km_db *db, sqlite3_stmt *s, km_err *err)
{
    const char *body = (const char *)sqlite3_column_text(s, 2);
    char digest[KM_SHA256_HEX_BYTES] = "";
    int rc = body ? digest_of(body, digest, err) : 0;

    if (rc == 0 && strcmp(digest, (const char *)sqlite3_column_text(s, 1)) != 0)
        rc = km_fail(err, KM_EFORMAT, "'%s': the result of job %lld is not what was handed in",
                     db->path, (long long)sqlite3_column_int64(s, 0));
    return rc;
}

int km_queue_check(km_db *db, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err,
                         "SELECT j.id, json_extract(e.body, '$.sha256'), r.body FROM jobs j"
                         " JOIN events e ON e.subject = 'job ' || j.id AND e.what = 'done'"
                         " LEFT JOIN results r ON r.job = j.id"
                         " WHERE j.state = 'done' AND json_extract(e.body, '$.sha256') IS NOT NULL",
                         "");

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(db, s, err)) == 1)
        if ((rc = check_result(db, s, err)) < 0)
            break;
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

static int complete(km_db *db, int64_t job, int64_t token, const char *body, km_err *err)
{
    char digest[KM_SHA256_HEX_BYTES] = "";
    int64_t now = km_clock_us();
    int rc = digest_of(body, digest, err);

    if (rc == 0)
        rc = km_db_run(db, NULL, err,
                       "INSERT INTO results (job, token, body, created_us) VALUES (?, ?, ?, ?)",
                       "iiti", job, token, body, now);

    if (rc == 0)
        rc = km_db_run(db, NULL, err,
                       "UPDATE jobs SET state = 'done', ended_us = ?, lease_boot = '' WHERE id = ?",
                       "ii", now, job);
    if (rc == 0)
        rc = end_lease(db, job, token, "done", err);
    if (rc == 0)
        rc = km_event_add(db, "job", job, "done",
                          json_pack("{s:I,s:s}", "token", (json_int_t)token, "sha256", digest),
                          err);
    return rc == 0 ? follow(db, job, err) : rc;
}

/* Begins, and asks whether the token holds the job. */
static int begin_held(km_db *db, bool *own, int64_t job, int64_t token, km_err *err)
{
    int rc = km_db_enter(db, own, err);

    return rc == 0 ? km_queue_holds(db, job, token, err) : rc;
}

static int yes(int rc)
{
    return rc < 0 ? rc : 1;
}

int km_queue_beat(km_db *db, int64_t job, int64_t token, int64_t lease_s, km_err *err)
{
    bool own;
    int rc = begin_held(db, &own, job, token, err);

    if (rc > 0)
        rc = yes(beat(db, job, lease_s, err));
    return km_db_leave(db, own, rc, err);
}

int km_queue_complete(km_db *db, int64_t job, int64_t token, const char *body, km_err *err)
{
    bool own;
    int rc = begin_held(db, &own, job, token, err);

    if (rc > 0)
        rc = yes(complete(db, job, token, body, err));
    return km_db_leave(db, own, rc, err);
}

int km_queue_fail(km_db *db, int64_t job, int64_t token, const char *why, km_err *err)
{
    bool own;
    int rc = begin_held(db, &own, job, token, err);

    if (rc > 0)
        rc = yes(give_back(db, job, token, "failed", why, err));
    return km_db_leave(db, own, rc, err);
}

int km_queue_release(km_db *db, int64_t job, int64_t token, const char *why, km_err *err)
{
    bool own;
    int rc = begin_held(db, &own, job, token, err), done = 0;

    if (rc > 0)
        done = km_db_run(db, NULL, err, "UPDATE jobs SET attempts = attempts - 1 WHERE id = ?", "i",
                         job);
    if (rc > 0)
        rc = yes(done < 0 ? done : give_back(db, job, token, "released", why, err));
    return km_db_leave(db, own, rc, err);
}

/* In the transaction. *changed: 1, or 0 when it had ended. */
static int cancel(km_db *db, int64_t job, const char *why, int64_t *changed, km_err *err)
{
    int rc = km_db_run(
        db, changed, err,
        "UPDATE jobs SET state = 'cancelled', error = ?, ended_us = ?, lease_boot = ''"
        " WHERE id = ? AND state IN ('queued', 'leased')",
        "tii", why, km_clock_us(), job);

    if (rc == 0 && *changed)
        rc = km_db_run(db, NULL, err,
                       "UPDATE leases SET ended_us = ?, how = 'cancelled' WHERE job = ?"
                       " AND token = (SELECT token FROM jobs WHERE id = job) AND ended_us IS NULL",
                       "ii", km_clock_us(), job);
    if (rc == 0 && *changed)
        rc = km_event_add(db, "job", job, "cancelled", json_pack("{s:s}", "why", why), err);
    return rc;
}

int km_queue_cancel(km_db *db, int64_t job, const char *why, km_err *err)
{
    int64_t changed = 0;
    int rc = km_db_begin(db, err);

    if (rc == 0)
        rc = cancel(db, job, why, &changed, err);
    if (rc == 0 && changed)
        rc = follow(db, job, err);
    if (rc == 0)
        rc = km_db_commit(db, err);
    else
        km_db_rollback(db);
    return rc < 0 ? rc : changed != 0;
}

int km_queue_drop(km_db *db, int64_t hypothesis, const char *why, km_err *err)
{
    int64_t job = 0, changed = 1;
    int rc = 0;

    while (rc == 0 && changed) {
        rc = km_db_int(db, &job, 0, err,
                       "SELECT id FROM jobs WHERE hypothesis = ? AND state IN ('queued', 'leased')"
                       " ORDER BY id LIMIT 1",
                       "i", hypothesis);
        if (rc == 0)
            rc = cancel(db, job, why, &changed, err);
    }
    return rc;
}
