/* The run "lab" of Trackio: its champions, and how things stand at the last event. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "lab/trackio_internal.h"

static const km_trackio_run lab_run = { 0, "lab" };

/* --- champions --- */

/* The mean of all runs of its commit, never the best one. */
static const char champions_sql[] =
    "SELECT id, created_us, (SELECT coalesce (max (id), 0) FROM events"
    "  WHERE at_us <= m.created_us), hypothesis, mean, CASE WHEN n > 1 THEN"
    "  (SELECT sqrt (sum ((value - mean) * (value - mean)) / (n - 1)) FROM runs"
    "   WHERE runs.commit_id = m.commit_id) END, n"
    " FROM (SELECT c.id, c.created_us, coalesce (c.hypothesis, 0) AS hypothesis, c.commit_id,"
    "  avg (r.value) AS mean, count (r.value) AS n"
    "  FROM champions AS c LEFT JOIN runs AS r ON r.commit_id = c.commit_id"
    "  WHERE c.id > ?1 AND c.id <= ?2 GROUP BY c.id) AS m ORDER BY id";

static void set_champion(json_t *metrics, sqlite3_stmt *s)
{
    km_trackio_set(metrics, "champion/hypothesis", s, 3);
    km_trackio_set(metrics, "champion/mean", s, 4);
    km_trackio_set(metrics, "champion/sd", s, 5);
    km_trackio_set(metrics, "champion/n", s, 6);
}

static int add_champions(km_trackio *t, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&t->lab->db, &s, err, champions_sql, "ii", t->from.champion,
                         t->to.champion);

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&t->lab->db, s, err)) == 1) {
        const char *row = km_arena_printf(&t->arena, "%lld", sqlite3_column_int64(s, 0));
        json_t *metrics = json_object();
        set_champion(metrics, s);
        rc = km_trackio_metric(t, &lab_run, "champions", row, sqlite3_column_int64(s, 1),
                               sqlite3_column_int64(s, 2), metrics, NULL, err);
        km_arena_release(&t->arena);
        if (rc < 0)
            break;
    }
    sqlite3_finalize(s);
    return rc;
}

/* --- how things stand --- */

static int add_champion(km_trackio *t, json_t *metrics, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&t->lab->db, &s, err, champions_sql, "ii", t->to.champion - 1,
                         t->to.champion);

    if (rc < 0)
        return rc;
    rc = km_db_step(&t->lab->db, s, err);
    if (rc == 1)
        set_champion(metrics, s);
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

/* {prefix/first column: second column}, for each row. */
static int add_numbers(km_trackio *t, json_t *metrics, const char *prefix, const char *sql,
                       km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&t->lab->db, &s, err, sql, "i", t->lab->campaign);

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&t->lab->db, s, err)) == 1) {
        char *key = km_arena_printf(&t->arena, "%s/%s", prefix,
                                    (const char *)sqlite3_column_text(s, 0));
        if (!key) {
            rc = km_fail_nomem(err);
            break;
        }
        km_trackio_set(metrics, key, s, 1);
    }
    sqlite3_finalize(s);
    return rc;
}

/* A state that nothing is in is a zero, so that its line in a chart goes down. */
static void add_zeros(km_trackio *t, json_t *metrics)
{
    static const char *const jobs[] = { "queued", "leased", "done", "dead", "cancelled" };

    for (const km_trackio_state *s = km_trackio_states; s->name; s++) {
        char *key = km_arena_printf(&t->arena, "ideas/%s", s->name);
        if (key)
            json_object_set_new(metrics, key, json_integer(0));
    }
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        char *key = km_arena_printf(&t->arena, "jobs/%s", jobs[i]);
        if (key)
            json_object_set_new(metrics, key, json_integer(0));
    }
}

/* --- the board and the report --- */

/* A text of one line: with a line end it could begin a heading of the report. */
static char *plain(km_trackio *t, sqlite3_stmt *s, int column)
{
    char *text = km_trackio_text(t, s, column);

    for (char *c = text; c && *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    return text;
}

static int add_board(km_trackio *t, json_t *metrics, km_err *err)
{
    static const char *const columns[] = { "bead ID",     "job ID",        "stage",     "mode",
                                           "worker name", "creation time", "hypothesis" };
    static const char sql[] =
        "SELECT coalesce ('hypothesis ' || j.hypothesis, ''), 'job ' || j.id, j.state, j.kind,"
        " j.worker, strftime ('%Y-%m-%d %H:%M:%S', j.created_us / 1000000, 'unixepoch'),"
        " coalesce (h.title, '') FROM jobs AS j LEFT JOIN hypotheses AS h ON h.id = j.hypothesis"
        " WHERE j.campaign = ? ORDER BY j.id DESC LIMIT ?";
    json_t *rows = json_array();
    sqlite3_stmt *s;
    int rc = km_db_query(&t->lab->db, &s, err, sql, "ii", t->lab->campaign,
                         (int64_t)KM_TRACKIO_BOARD_ROWS);

    while (rc == 0 && (rc = km_db_step(&t->lab->db, s, err)) == 1) {
        json_t *row = json_pack("{s:s}", "wave ID", t->project);
        for (int i = 0; i < 7; i++) {
            char *text = plain(t, s, i);
            json_object_set_new(row, columns[i], text ? json_string(text) : NULL);
        }
        rc = json_array_append_new(rows, row) == 0 ? 0 : km_fail_nomem(err);
    }
    sqlite3_finalize(s);
    if (rc == 0 && json_array_size(rows))
        json_object_set_new(metrics, "job_board",
                            json_pack("{s:s,s:O}", "_type", "trackio.table", "_value", rows));
    json_decref(rows);
    return rc;
}

/* Trackio shows headings, lists, **bold** and `code`; no tables. A row is an item. */
static const struct {
    const char *title, *sql;
} parts[] = {
    { "Champions", "SELECT strftime ('%Y-%m-%d %H:%M', c.created_us / 1000000, 'unixepoch') || ': '"
                   " || coalesce (h.id || ' ' || h.title, 'the baseline') || ', `' || substr "
                   "(c.commit_id, 1, 12)"
                   " || '`' FROM champions AS c LEFT JOIN hypotheses AS h ON h.id = c.hypothesis"
                   " WHERE c.campaign = ? ORDER BY c.id DESC LIMIT 10" },
    { "Ideas", "SELECT '**' || state || '** ' || count (*) FROM hypotheses WHERE campaign = ?"
               " GROUP BY state ORDER BY count (*) DESC" },
    { "Decisions",
      "SELECT h.id || ' ' || h.title || ': **' || d.verdict || '** after ' || d.pairs || ' pairs: '"
      " || d.reason FROM decisions AS d JOIN hypotheses AS h ON h.id = d.hypothesis"
      " WHERE h.campaign = ? ORDER BY d.id DESC LIMIT 10" },
    { "Budget", "SELECT kind || ': ' || printf ('%.6g', used)"
                " || coalesce (' of ' || printf ('%.6g', allowed), '') FROM budgets"
                " WHERE campaign = ? AND (used > 0 OR allowed IS NOT NULL) ORDER BY kind" },
    { "Alerts", "SELECT '**' || level || '** ' || title || ' (' || subject || ')' FROM alerts"
                " WHERE campaign = ? ORDER BY id DESC LIMIT 10" },
};

static int add_part(km_trackio *t, km_str *out, size_t part, km_err *err)
{
    sqlite3_stmt *s;
    bool any = false;
    int rc = km_db_query(&t->lab->db, &s, err, parts[part].sql, "i", t->lab->campaign);

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&t->lab->db, s, err)) == 1) {
        char *text = plain(t, s, 0);
        if (!any)
            km_str_printf(out, "\n## %s\n\n", parts[part].title);
        any = true;
        km_str_printf(out, "- %s\n", text ? text : "");
    }
    sqlite3_finalize(s);
    return rc;
}

static int add_report(km_trackio *t, json_t *metrics, int64_t at_us, km_err *err)
{
    km_str out = KM_STR_INIT;
    char *when = km_trackio_time(t, at_us);
    int rc = when ? 0 : km_fail_nomem(err);

    km_str_printf(&out, "# %s\n\nAfter event %lld, at %s; better is %s.\n", t->project,
                  (long long)t->to.event, when, t->higher ? "higher" : "lower");
    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof *parts; i++)
        rc = add_part(t, &out, i, err);
    if (rc == 0)
        rc = km_str_check(&out, err);
    if (rc == 0)
        json_object_set_new(
            metrics, "report",
            json_pack("{s:s,s:s}", "_type", "trackio.markdown", "_value", out.data));
    km_str_release(&out);
    return rc;
}

/* --- the row --- */

/* Trackio shows each board and each report that there was, so one comes only when it says something
 * new: that of the jobs, and of decisions, champions and alerts. */
static int add_shown(km_trackio *t, json_t *metrics, int64_t at_us, km_err *err)
{
    bool news = t->to.decision > t->from.decision || t->to.champion > t->from.champion ||
                t->to.alert > t->from.alert || !t->from.event;
    int64_t moved = 0;
    int rc = km_db_int(&t->lab->db, &moved, 0, err,
                       "SELECT EXISTS (SELECT 1 FROM events WHERE id > ? AND id <= ?"
                       " AND subject LIKE 'job %')",
                       "ii", t->from.event, t->to.event);

    if (rc == 0 && moved)
        rc = add_board(t, metrics, err);
    if (rc == 0 && news)
        rc = add_report(t, metrics, at_us, err);
    return rc;
}

static int add_now(km_trackio *t, int64_t at_us, km_err *err)
{
    const char *row = km_arena_printf(&t->arena, "now %lld", (long long)t->to.event);
    json_t *metrics = json_object();
    int rc = 0;

    add_zeros(t, metrics);
    rc = add_numbers(t, metrics, "ideas",
                     "SELECT state, count (*) FROM hypotheses WHERE campaign = ? GROUP BY state",
                     err);
    if (rc == 0)
        rc = add_numbers(t, metrics, "jobs",
                         "SELECT state, count (*) FROM jobs WHERE campaign = ? GROUP BY state",
                         err);
    if (rc == 0)
        rc = add_numbers(t, metrics, "budget",
                         "SELECT kind || '_used', used FROM budgets WHERE campaign = ?1"
                         " AND (used > 0 OR allowed IS NOT NULL) UNION ALL"
                         " SELECT kind || '_allowed', allowed FROM budgets WHERE campaign = ?1",
                         err);
    if (rc == 0)
        rc = add_champion(t, metrics, err);
    if (rc == 0)
        rc = add_shown(t, metrics, at_us, err);
    if (rc == 0)
        rc = km_trackio_metric(t, &lab_run, "now", row, at_us, t->to.event, json_incref(metrics),
                               json_pack("{s:s,s:s}", "metric", t->metric, "direction",
                                         t->higher ? "higher" : "lower"),
                               err);
    json_decref(metrics);
    km_arena_release(&t->arena);
    return rc;
}

int km_trackio_lab(km_trackio *t, km_err *err)
{
    int64_t at_us = 0;
    int rc = add_champions(t, err);

    if (rc == 0)
        rc = km_db_int(&t->lab->db, &at_us, 0, err, "SELECT at_us FROM events WHERE id = ?", "i",
                       t->to.event);
    if (rc < 0 || t->to.event == t->from.event)
        return rc;
    return add_now(t, at_us, err);
}
