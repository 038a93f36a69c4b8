#include "lab/overview.h"

#include <string.h>

#include "lab/clock.h"
#include "lab/standing.h"

/* A row as an object, its columns by their names; texts that are JSON (payload, body) as such. */
static json_t *row_json(sqlite3_stmt *s)
{
    json_t *row = json_object();

    for (int i = 0; i < sqlite3_column_count(s); i++) {
        const char *name = sqlite3_column_name(s, i);
        const char *text = (const char *)sqlite3_column_text(s, i);
        bool is_json = strcmp(name, "payload") == 0 || strcmp(name, "body") == 0;
        json_t *value = is_json && text ? json_loads(text, JSON_DECODE_ANY, NULL)
                                        : km_db_json(s, i);
        json_object_set_new(row, name, value ? value : json_null());
    }
    return row;
}

static int rows(km_db *db, json_t **out, km_err *err, const char *sql, int64_t id)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err, sql, "i", id);

    *out = json_array();
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(db, s, err)) == 1)
        json_array_append_new(*out, row_json(s));
    sqlite3_finalize(s);
    return rc;
}

/* {first column: second column} */
static int pairs(km_db *db, json_t **out, km_err *err, const char *sql, int64_t id)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err, sql, "i", id);

    *out = json_object();
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(db, s, err)) == 1)
        json_object_set_new(*out, (const char *)sqlite3_column_text(s, 0),
                            json_integer((json_int_t)sqlite3_column_int64(s, 1)));
    sqlite3_finalize(s);
    return rc;
}

static int budget(km_lab *lab, json_t **out, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err,
                         "SELECT kind, allowed, used FROM budgets WHERE campaign = ?"
                         " AND (allowed IS NOT NULL OR used > 0) ORDER BY kind",
                         "i", lab->campaign);

    *out = json_object();
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&lab->db, s, err)) == 1) {
        json_t *row = json_pack("{s:f}", "used", sqlite3_column_double(s, 2));
        if (sqlite3_column_type(s, 1) != SQLITE_NULL)
            json_object_set_new(row, "allowed", json_real(sqlite3_column_double(s, 1)));
        json_object_set_new(*out, (const char *)sqlite3_column_text(s, 0), row);
    }
    sqlite3_finalize(s);
    return rc;
}

static int workers(km_lab *lab, json_t **out, km_err *err)
{
    char boot[KM_BOOT_ID_BYTES];
    sqlite3_stmt *s = NULL;
    int rc = km_clock_boot_id(boot, err);

    *out = json_array();
    if (rc == 0)
        rc = km_db_query(&lab->db, &s, err,
                         "SELECT worker, jobs.id AS job, kind, started_us AS since_us,"
                         " lease_boot <> ? OR lease_until_ms < ? AS late, hypothesis, title"
                         " FROM jobs LEFT JOIN hypotheses ON hypotheses.id = hypothesis"
                         " WHERE jobs.state = 'leased' AND jobs.campaign = ?"
                         " ORDER BY started_us",
                         "tii", boot, km_clock_boot_ms(), lab->campaign);
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&lab->db, s, err)) == 1)
        json_array_append_new(*out, row_json(s));
    sqlite3_finalize(s);
    return rc;
}

/* {"count": {level: how many}, "unsent", "last": the newest few, newest first} */
static int alerts(km_lab *lab, json_t **out, km_err *err)
{
    json_t *count = NULL, *last = NULL;
    int64_t unsent = 0;
    int rc = pairs(&lab->db, &count, err,
                   "SELECT level, count(*) FROM alerts WHERE campaign = ? GROUP BY level",
                   lab->campaign);

    if (rc == 0)
        rc = km_db_int(&lab->db, &unsent, 0, err,
                       "SELECT count(*) FROM alerts WHERE campaign = ? AND sent_us = 0", "i",
                       lab->campaign);
    if (rc == 0)
        rc = rows(&lab->db, &last, err,
                  "SELECT id, level, title, text, subject, created_us, sent_us FROM alerts"
                  " WHERE campaign = ? ORDER BY id DESC LIMIT 5",
                  lab->campaign);
    *out = rc == 0 ? json_pack("{s:O,s:I,s:O}", "count", count, "unsent", (json_int_t)unsent,
                               "last", last)
                   : NULL;
    json_decref(count);
    json_decref(last);
    return rc;
}

int km_overview(km_lab *lab, json_t **out, km_err *err)
{
    json_t *ideas = NULL, *jobs = NULL, *money = NULL, *who = NULL, *told = NULL, *stand = NULL;
    int rc = pairs(&lab->db, &ideas, err,
                   "SELECT state, count(*) FROM hypotheses WHERE campaign = ? GROUP BY state",
                   lab->campaign);

    if (rc == 0)
        rc = pairs(&lab->db, &jobs, err,
                   "SELECT state, count(*) FROM jobs WHERE campaign = ? GROUP BY state",
                   lab->campaign);
    if (rc == 0)
        rc = budget(lab, &money, err);
    if (rc == 0)
        rc = workers(lab, &who, err);
    if (rc == 0)
        rc = alerts(lab, &told, err);
    if (rc == 0)
        rc = km_standing(lab, &stand, err);
    *out = rc == 0 ? json_pack("{s:s,s:O,s:O,s:O,s:O,s:O,s:O}", "name", lab->name, "hypotheses",
                               ideas, "jobs", jobs, "budget", money, "workers", who, "alerts", told,
                               "standing", stand)
                   : NULL;
    json_decref(ideas);
    json_decref(jobs);
    json_decref(money);
    json_decref(who);
    json_decref(told);
    json_decref(stand);
    return rc == 0 && !*out ? km_fail_nomem(err) : rc;
}

/* The first parts are what one needs to know, the rest how it came. */
enum { SUMMARY = 2, WHOLE = 5 };

static int add_details(km_lab *lab, json_t *idea, size_t count, km_err *err)
{
    static const struct {
        const char *key, *sql;
    } parts[WHOLE] = {
        { "reviews",
          "SELECT reviewer, verdict, text, created_us FROM reviews WHERE hypothesis = ?" },
        { "decisions", "SELECT verdict, reason, pairs, gain, low, high, more_pairs, created_us"
                       " FROM decisions WHERE hypothesis = ? ORDER BY id" },
        { "jobs", "SELECT id, key, kind, state, attempts, worker, error, created_us, started_us,"
                  " ended_us FROM jobs WHERE hypothesis = ?" },
        { "leases", "SELECT job, leases.token, leases.worker, began_us, leases.ended_us, how,"
                    " executor, remote, gpu_seconds, money, tokens"
                    " FROM leases JOIN jobs ON jobs.id = job WHERE hypothesis = ?" },
        { "results", "SELECT job, results.token, body, results.created_us FROM results"
                     " JOIN jobs ON jobs.id = job WHERE hypothesis = ?" },
    };
    int64_t id = json_integer_value(json_object_get(idea, "id"));
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        json_t *list;
        rc = rows(&lab->db, &list, err, parts[i].sql, id);
        json_object_set_new(idea, parts[i].key, list);
    }
    return rc;
}

static int hypotheses(km_lab *lab, size_t parts, json_t **out, km_err *err)
{
    json_t *idea;
    size_t k;
    int rc = rows(
        &lab->db, out, err,
        "SELECT id, key, title, text, payload, author, source, parent, commit_id, state,"
        " reason, priority, created_us, updated_us FROM hypotheses WHERE campaign = ? ORDER BY id",
        lab->campaign);

    json_array_foreach(*out, k, idea) if (rc == 0) rc = add_details(lab, idea, parts, err);
    return rc;
}

int km_overview_hypotheses(km_lab *lab, json_t **out, km_err *err)
{
    return hypotheses(lab, WHOLE, out, err);
}

int km_overview_summary(km_lab *lab, json_t **out, km_err *err)
{
    return hypotheses(lab, SUMMARY, out, err);
}
