#include "lab/hypothesis.h"

#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "core/str.h"
#include "lab/alert.h"
#include "lab/clock.h"
#include "lab/event.h"
#include "lab/queue.h"

/* Every way that there is; ended states have none. */
static const struct {
    const char *from, *to;
} ways[] = {
    { "proposed", "reviewed" },    { "proposed", "rejected" },    { "proposed", "duplicate" },
    { "proposed", "stale" },       { "proposed", "cancelled" },   { "reviewed", "queued" },
    { "reviewed", "duplicate" },   { "reviewed", "stale" },       { "reviewed", "cancelled" },
    { "queued", "running" },       { "queued", "stale" },         { "queued", "cancelled" },
    { "queued", "failed" },        { "queued", "evaluating" },    { "running", "queued" },
    { "running", "evaluating" },   { "running", "failed" },       { "running", "crashed" },
    { "running", "timed_out" },    { "running", "invalid" },      { "running", "cancelled" },
    { "evaluating", "accepted" },  { "evaluating", "rejected" },  { "evaluating", "undecided" },
    { "evaluating", "invalid" },   { "evaluating", "duplicate" }, { "evaluating", "stale" },
    { "evaluating", "cancelled" }, { "undecided", "queued" },     { "undecided", "rejected" },
    { "undecided", "accepted" },   { "undecided", "cancelled" },  { "accepted", "promoted" },
    { "failed", "queued" },        { "failed", "cancelled" },     { "accepted", "stale" },
    { "accepted", "rejected" },    { "evaluating", "crashed" },   { "evaluating", "timed_out" },
    { "evaluating", "failed" },    { "undecided", "crashed" },    { "undecided", "timed_out" },
    { "undecided", "failed" },     { "undecided", "invalid" },    { "undecided", "stale" },
    { "accepted", "evaluating" },  { "undecided", "evaluating" }, { "accepted", "invalid" },
    { "failed", "evaluating" },    { "accepted", "crashed" },     { "accepted", "timed_out" },
    { "accepted", "queued" },      { "evaluating", "queued" },
};

static int no_way(int64_t id, const char *from, const char *to, km_err *err)
{
    km_fail(err, KM_EUSAGE, "hypothesis %lld is %s, and cannot become %s", (long long)id, from, to);
    if (strcmp(from, "proposed") == 0)
        return km_hint(err, "it waits for `kernmill lab review %lld`", (long long)id);
    return km_hint(err,
                   "`kernmill lab report` tells its history; `kernmill help lab decide` the ways");
}

static bool is_way(const char *from, const char *to)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i].from, from) == 0 && strcmp(ways[i].to, to) == 0)
            return true;
    return false;
}

static int state_of(km_db *db, int64_t id, char out[32], km_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = km_db_query(db, &s, err, "SELECT state FROM hypotheses WHERE id = ?", "i", id);

    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1)
        snprintf(out, 32, "%s", (const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    if (rc == 0)
        return km_fail(err, KM_EUSAGE, "there is no hypothesis %lld", (long long)id);
    return rc < 0 ? rc : 0;
}

/* History that was imported is told, not done. */
static int check_own(km_db *db, int64_t id, km_err *err)
{
    int64_t told = 0;
    int rc = km_db_int(db, &told, 0, err,
                       "SELECT 1 FROM events WHERE subject = 'hypothesis ' || ?"
                       " AND what = 'imported'",
                       "i", id);

    if (rc < 0 || !told)
        return rc;
    km_fail(err, KM_EUSAGE, "hypothesis %lld was imported: it is history, and stays as it is",
            (long long)id);
    return km_hint(err, "to try it here, propose it anew: `kernmill lab propose`");
}

/* What a person may have to look at: a number that is worth nothing, by accident or by design; and,
 * for who asks for all of it, what gave none: of ideas that is a common end. */
static const struct {
    const char *state, *level, *words;
} told[] = {
    { "invalid", "warn", "invalid, maybe a cheat" },
    { "crashed", "info", "crashed" },
    { "timed_out", "info", "timed out" },
};

static int tell(km_db *db, int64_t id, const char *state, const char *reason, km_err *err)
{
    const size_t count = sizeof told / sizeof *told;
    km_str title = KM_STR_INIT;
    char subject[32], key[64];
    sqlite3_stmt *s = NULL;
    size_t i = 0;
    int rc;

    while (i < count && strcmp(told[i].state, state) != 0)
        i++;
    if (i == count)
        return 0;
    rc = km_db_query(db, &s, err, "SELECT campaign, title FROM hypotheses WHERE id = ?", "i", id);
    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    snprintf(subject, sizeof subject, "hypothesis %lld", (long long)id);
    snprintf(key, sizeof key, "%s is %s", subject, state);
    if (rc == 1) {
        km_str_printf(&title, "%s: %s", told[i].words, (const char *)sqlite3_column_text(s, 1));
        rc = km_alert_add(db, sqlite3_column_int64(s, 0), key, told[i].level, title.data, reason,
                          subject, err);
    }
    sqlite3_finalize(s);
    km_str_release(&title);
    return rc;
}

/* Whether nothing is left to be done for an idea in this state but its promotion. */
static bool is_over(const char *state)
{
    static const char *const open[] = { "proposed", "reviewed",   "queued",
                                        "running",  "evaluating", "undecided" };

    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (strcmp(open[i], state) == 0)
            return false;
    return true;
}

/* In the transaction. Nobody goes on with what is over. */
static int move(km_db *db, int64_t id, const char *to, const char *reason, km_err *err)
{
    char from[32];
    int rc = state_of(db, id, from, err);

    if (rc == 0)
        rc = check_own(db, id, err);
    if (rc == 0 && !is_way(from, to))
        rc = no_way(id, from, to, err);
    if (rc == 0)
        rc = km_db_run(db, NULL, err,
                       "UPDATE hypotheses SET state = ?, reason = ?, updated_us = ? WHERE id = ?",
                       "ttii", to, reason, km_clock_us(), id);
    if (rc == 0)
        rc = km_event_add(db, "hypothesis", id, to, json_pack("{s:s}", "reason", reason), err);
    if (rc == 0 && is_over(to))
        rc = km_queue_drop(db, id, *reason ? reason : to, err);
    return rc == 0 ? tell(db, id, to, reason, err) : rc;
}

static int insert(km_db *db, int64_t campaign, const km_proposal *p, int64_t *id, km_err *err)
{
    int64_t now = km_clock_us();
    int rc = km_db_run(
        db, NULL, err,
        "INSERT INTO hypotheses (campaign, key, title, text, payload, author, source,"
        " parent, state, priority, created_us, updated_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'proposed', ?, ?, ?)",
        "itttttttiii", campaign, p->key, p->title, p->text, p->payload, p->author, p->source,
        p->parent, p->priority, now, now);

    if (rc == 0) {
        *id = sqlite3_last_insert_rowid(db->handle);
        rc = km_event_add(db, "hypothesis", *id, "proposed",
                          json_pack("{s:s,s:s}", "key", p->key, "author", p->author), err);
    }
    return rc;
}

int km_hypothesis_propose(km_db *db, int64_t campaign, const km_proposal *p, int64_t *id,
                          bool *made, km_err *err)
{
    bool own;
    int rc = km_db_enter(db, &own, err);

    if (rc == 0)
        rc = km_db_int(db, id, 0, err, "SELECT id FROM hypotheses WHERE campaign = ? AND key = ?",
                       "it", campaign, p->key);
    *made = rc == 0 && !*id;
    if (*made)
        rc = insert(db, campaign, p, id, err);
    return km_db_leave(db, own, rc, err);
}

static int insert_history(km_db *db, int64_t campaign, const km_history *h, int64_t *id,
                          km_err *err)
{
    const km_proposal *p = &h->told;
    int64_t now = km_clock_us(), created = h->created_us ? h->created_us : now;
    int rc = km_db_run(
        db, NULL, err,
        "INSERT INTO hypotheses (campaign, key, title, text, payload, author, source,"
        " parent, state, priority, created_us, updated_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "ittttttttiii", campaign, p->key, p->title, p->text, p->payload, p->author, p->source,
        p->parent, h->state, p->priority, created, now);

    if (rc < 0)
        return rc;
    *id = sqlite3_last_insert_rowid(db->handle);
    return km_event_add(db, "hypothesis", *id, "imported",
                        json_pack("{s:s,s:s,s:s,s:I,s:s}", "key", p->key, "file", h->file, "sha256",
                                  h->digest, "line", (json_int_t)h->line, "state", h->state),
                        err);
}

int km_hypothesis_import(km_db *db, int64_t campaign, const km_history *h, int64_t *id, bool *made,
                         km_err *err)
{
    static const char *const ends[] = { "accepted", "rejected",  "failed",
                                        "crashed",  "timed_out", "cancelled" };
    bool own, is_end = false;
    int rc;

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        is_end |= strcmp(h->state, ends[i]) == 0;
    if (!is_end)
        return km_fail(err, KM_EBUG, "'%s' is no state of history", h->state);
    rc = km_db_enter(db, &own, err);
    if (rc == 0)
        rc = km_db_int(db, id, 0, err, "SELECT id FROM hypotheses WHERE campaign = ? AND key = ?",
                       "it", campaign, h->told.key);
    *made = rc == 0 && !*id;
    if (*made)
        rc = insert_history(db, campaign, h, id, err);
    return km_db_leave(db, own, rc, err);
}

int km_hypothesis_review(km_db *db, int64_t id, const char *reviewer, bool approve,
                         const char *text, km_err *err)
{
    bool own;
    int rc = km_db_enter(db, &own, err);

    if (rc == 0)
        rc = move(db, id, approve ? "reviewed" : "rejected", text, err);
    if (rc == 0)
        rc = km_db_run(db, NULL, err,
                       "INSERT INTO reviews (hypothesis, reviewer, verdict, text, created_us)"
                       " VALUES (?, ?, ?, ?, ?)",
                       "ittti", id, reviewer, approve ? "approve" : "reject", text, km_clock_us());
    return km_db_leave(db, own, rc, err);
}

static int submit(km_db *db, int64_t id, const char *kind, const char *payload, int64_t *job,
                  km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_job_request r = { .hypothesis = id, .kind = kind };
    sqlite3_stmt *s = NULL;
    bool made;
    int rc = km_db_query(db, &s, err,
                         "SELECT campaign, payload, priority,"
                         " (SELECT count(*) FROM jobs WHERE hypothesis = hypotheses.id)"
                         " FROM hypotheses WHERE id = ?",
                         "i", id);

    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1) {
        r.campaign = sqlite3_column_int64(s, 0);
        r.payload = payload ? payload : km_db_text(&a, s, 1);
        r.priority = sqlite3_column_int64(s, 2);
        r.key = km_arena_printf(&a, "hypothesis %lld, %s %lld", (long long)id, kind,
                                (long long)sqlite3_column_int64(s, 3) + 1);
        rc = r.payload && r.key ? 0 : km_fail_nomem(err);
    }
    sqlite3_finalize(s);
    if (rc == 0)
        rc = km_queue_submit(db, &r, job, &made, err);
    km_arena_release(&a);
    return rc;
}

int km_hypothesis_queue(km_db *db, int64_t id, const char *kind, const char *payload, int64_t *job,
                        km_err *err)
{
    bool own;
    int rc = km_db_enter(db, &own, err);

    if (rc == 0)
        rc = move(db, id, "queued", "", err);
    if (rc == 0)
        rc = submit(db, id, kind, payload, job, err);
    return km_db_leave(db, own, rc, err);
}

int km_hypothesis_move(km_db *db, int64_t id, const char *state, const char *reason, km_err *err)
{
    bool own;
    int rc = km_db_enter(db, &own, err);

    if (rc == 0)
        rc = move(db, id, state, reason, err);
    return km_db_leave(db, own, rc, err);
}

/* Whether a job's end says anything of an idea in this state: one that is measured has had its
 * work, and hears only of the end of trying. One that was measured is undecided without more. */
static bool follows(const char *now, const char *then)
{
    if (strcmp(now, "evaluating") == 0)
        return strcmp(then, "failed") == 0 || strcmp(then, "cancelled") == 0;
    if (strcmp(now, "undecided") == 0)
        return strcmp(then, "failed") == 0;
    return (strcmp(now, "queued") == 0 || strcmp(now, "running") == 0) && strcmp(now, then) != 0;
}

/* By its newest job: an older one that failed was planned again. */
int km_hypothesis_follow(km_db *db, int64_t id, km_err *err)
{
    static const char sql[] =
        "SELECT CASE state WHEN 'dead' THEN 'failed' WHEN 'leased' THEN 'running'"
        " WHEN 'queued' THEN 'queued' WHEN 'done' THEN 'evaluating' ELSE 'cancelled' END, error"
        " FROM jobs WHERE hypothesis = ? ORDER BY id DESC LIMIT 1";
    char now[32], then[32] = "", why[512] = "";
    sqlite3_stmt *s = NULL;
    int rc = id ? state_of(db, id, now, err) : 0;

    if (!id || rc < 0)
        return rc;
    rc = km_db_query(db, &s, err, sql, "i", id);
    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1) {
        snprintf(then, sizeof then, "%s", (const char *)sqlite3_column_text(s, 0));
        snprintf(why, sizeof why, "%s", (const char *)sqlite3_column_text(s, 1));
    }
    sqlite3_finalize(s);
    if (rc < 0 || !follows(now, then))
        return rc < 0 ? rc : 0;
    return move(db, id, then, why, err);
}

int km_hypothesis_read(km_db *db, km_arena *a, int64_t id, km_idea *out, km_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = km_db_query(db, &s, err,
                         "SELECT state, title, author, payload, parent, commit_id, patch, manifest"
                         " FROM hypotheses WHERE id = ?",
                         "i", id);

    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1)
        *out = (km_idea){ id,
                          km_db_text(a, s, 0),
                          km_db_text(a, s, 1),
                          km_db_text(a, s, 2),
                          km_db_text(a, s, 3),
                          km_db_text(a, s, 4),
                          km_db_text(a, s, 5),
                          km_db_text(a, s, 6),
                          km_db_text(a, s, 7) };
    sqlite3_finalize(s);
    if (rc == 0)
        return km_fail(err, KM_EUSAGE, "there is no hypothesis %lld", (long long)id);
    if (rc == 1 && (!out->state || !out->title || !out->author || !out->payload || !out->parent ||
                    !out->commit || !out->patch || !out->manifest))
        return km_fail_nomem(err);
    return rc < 0 ? rc : 0;
}

int km_hypothesis_set(km_db *db, int64_t id, const char *column, const char *value, km_err *err)
{
    static const struct {
        const char *column, *sql;
    } columns[] = {
        { "parent", "UPDATE hypotheses SET parent = ? WHERE id = ?" },
        { "commit_id", "UPDATE hypotheses SET commit_id = ? WHERE id = ?" },
        { "patch", "UPDATE hypotheses SET patch = ? WHERE id = ?" },
        { "manifest", "UPDATE hypotheses SET manifest = ? WHERE id = ?" },
    };

    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (strcmp(columns[i].column, column) == 0)
            return km_db_run(db, NULL, err, columns[i].sql, "ti", value, id);
    return km_fail(err, KM_EBUG, "hypotheses have no column '%s'", column);
}
