/* Ideas as runs of Trackio, by what is new in events, runs, results, decisions and alerts. */
#include <stdio.h>
#include <string.h>

#include "formats/json.h"
#include "lab/trackio_internal.h"

#define CONFIG_BYTES 1000 /* of a text; it stands in each row of a state */

const km_trackio_state km_trackio_states[] = {
    { "proposed", 0 },   { "reviewed", 1 },   { "queued", 2 },   { "running", 3 },
    { "evaluating", 4 }, { "undecided", 5 },  { "accepted", 6 }, { "promoted", 7 },
    { "rejected", -1 },  { "duplicate", -2 }, { "stale", -3 },   { "failed", -4 },
    { "crashed", -5 },   { "timed_out", -6 }, { "invalid", -7 }, { "cancelled", -8 },
    { NULL, 0 },
};

static const km_trackio_state *state_named(const char *name)
{
    const km_trackio_state *s = km_trackio_states;

    while (s->name && strcmp(s->name, name) != 0)
        s++;
    return s->name ? s : NULL;
}

/* --- states --- */

/* Its step is how many pairs had been run until then. */
static const char states_sql[] =
    "SELECT e.id, CASE e.what WHEN 'imported' THEN h.created_us ELSE e.at_us END, e.what, h.id, "
    "h.title, h.payload, h.state,"
    " (SELECT count (*) FROM runs JOIN jobs ON jobs.id = runs.job WHERE hypothesis = h.id"
    "   AND arm = 'candidate' AND jobs.ended_us BETWEEN 1 AND e.at_us),"
    " h.key, h.parent, h.commit_id, h.author, h.source, h.patch, h.reason"
    " FROM events AS e JOIN hypotheses AS h ON h.id = CAST (substr (e.subject, 12) AS INTEGER)"
    " WHERE e.subject LIKE 'hypothesis %' AND e.id > ? AND e.id <= ? ORDER BY e.id";

static json_t *config_of(km_trackio *t, sqlite3_stmt *s)
{
    static const char *const keys[] = { "key",    "parent", "commit", "author",
                                        "source", "patch",  "reason" };
    json_t *config = json_pack("{s:s}", "state", km_trackio_text(t, s, 6));

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char *text = km_trackio_text(t, s, (int)(8 + i));
        if (!text || !*text)
            continue;
        km_trackio_cut(text, CONFIG_BYTES);
        json_object_set_new(config, keys[i], json_string(text));
    }
    return config;
}

static int add_state(km_trackio *t, sqlite3_stmt *s, km_err *err)
{
    char *what = km_trackio_text(t, s, 2), *title = km_trackio_text(t, s, 4);
    const char *row = km_arena_printf(&t->arena, "%lld", sqlite3_column_int64(s, 0));
    const km_trackio_run run = { sqlite3_column_int64(s, 3), title };
    bool told = what && strcmp(what, "imported") == 0;
    const km_trackio_state *state;
    json_t *metrics;

    if (!what || !title || !row)
        return km_fail_nomem(err);
    state = state_named(told ? (const char *)sqlite3_column_text(s, 6) : what);
    if (!state)
        return 0;
    metrics = json_pack("{s:i}", "lab/status", state->number);
    if (told) {
        json_t *payload = json_loads((const char *)sqlite3_column_text(s, 5), 0, NULL);
        json_t *score = json_object_get(payload, "score");
        char *name = km_arena_printf(&t->arena, "%s/candidate", t->metric);
        if (name && json_is_number(score))
            json_object_set(metrics, name, score);
        json_decref(payload);
    }
    return km_trackio_metric(t, &run, "events", row, sqlite3_column_int64(s, 1),
                             sqlite3_column_int64(s, 7), metrics, config_of(t, s), err);
}

/* --- pairs --- */

/* Those of `runs`, each once both arms are there, at the time that follows from the lease's begin
 * and what was run until then; and, of jobs whose results alone hold pairs, those. */
static const char pairs_sql[] =
    "SELECT h.id, h.title, c.job || ' ' || c.pair,"
    " coalesce ((SELECT began_us FROM leases WHERE leases.job = c.job ORDER BY token DESC LIMIT 1),"
    "   j.created_us) + 1000 * (SELECT sum (wall_ms) FROM runs AS w WHERE w.job = c.job"
    "   AND w.pair <= c.pair),"
    " (SELECT count (*) FROM runs AS b JOIN jobs ON jobs.id = b.job WHERE hypothesis = h.id"
    "   AND b.arm = 'candidate' AND (b.job, b.pair) <= (c.job, c.pair)),"
    " p.value, c.value, p.wall_ms, c.wall_ms, p.value - c.value"
    " FROM runs AS c JOIN runs AS p ON p.job = c.job AND p.pair = c.pair AND p.arm = 'parent'"
    " JOIN jobs AS j ON j.id = c.job JOIN hypotheses AS h ON h.id = j.hypothesis"
    " WHERE c.arm = 'candidate' AND max (c.rowid, p.rowid) > ?1 AND max (c.rowid, p.rowid) <= ?2"
    " UNION ALL "
    "SELECT h.id, h.title, j.id || ' result ' || x.key, r.created_us,"
    " x.key + 1 + coalesce ((SELECT sum (json_array_length (b.body, '$.pairs')) FROM results AS b"
    "   JOIN jobs ON jobs.id = b.job WHERE hypothesis = h.id AND jobs.id < j.id), 0),"
    " CASE WHEN json_type (x.value, '$.parent') IN ('integer', 'real')"
    "   THEN json_extract (x.value, '$.parent') END,"
    " CASE WHEN json_type (x.value, '$.candidate') IN ('integer', 'real')"
    "   THEN json_extract (x.value, '$.candidate') END,"
    " NULL, NULL, CASE WHEN json_type (x.value, '$.parent') IN ('integer', 'real')"
    "   AND json_type (x.value, '$.candidate') IN ('integer', 'real')"
    "   THEN json_extract (x.value, '$.parent') - json_extract (x.value, '$.candidate') END"
    " FROM events AS e JOIN jobs AS j ON j.id = CAST (substr (e.subject, 5) AS INTEGER)"
    " JOIN results AS r ON r.job = j.id JOIN hypotheses AS h ON h.id = j.hypothesis,"
    " json_each (r.body, '$.pairs') AS x"
    " WHERE e.what = 'done' AND e.subject LIKE 'job %' AND e.id > ?3 AND e.id <= ?4"
    " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.job = j.id) ORDER BY 1, 5";

static int add_pair(km_trackio *t, sqlite3_stmt *s, km_err *err)
{
    char *title = km_trackio_text(t, s, 1), *row = km_trackio_text(t, s, 2);
    char *parent = km_arena_printf(&t->arena, "%s/parent", t->metric);
    char *candidate = km_arena_printf(&t->arena, "%s/candidate", t->metric);
    const km_trackio_run run = { sqlite3_column_int64(s, 0), title };
    json_t *metrics = json_object();

    if (!title || !row || !parent || !candidate || !metrics) {
        json_decref(metrics);
        return km_fail_nomem(err);
    }
    km_trackio_set(metrics, parent, s, 5);
    km_trackio_set(metrics, candidate, s, 6);
    km_trackio_set(metrics, "wall_ms/parent", s, 7);
    km_trackio_set(metrics, "wall_ms/candidate", s, 8);
    if (sqlite3_column_type(s, 9) != SQLITE_NULL) {
        double gain = sqlite3_column_double(s, 9) * (t->higher ? -1 : 1);
        json_object_set_new(metrics, "gain", json_real(gain));
    }
    return km_trackio_metric(t, &run, "runs", row, sqlite3_column_int64(s, 3),
                             sqlite3_column_int64(s, 4), metrics, NULL, err);
}

/* --- decisions --- */

static const char decisions_sql[] =
    "SELECT d.id, h.id, h.title, d.created_us, d.pairs, d.gain, d.low, d.high, d.sd, d.more_pairs"
    " FROM decisions AS d JOIN hypotheses AS h ON h.id = d.hypothesis"
    " WHERE d.id > ? AND d.id <= ? ORDER BY d.id";

static int add_decision(km_trackio *t, sqlite3_stmt *s, km_err *err)
{
    static const char *const keys[] = { "decision/pairs", "decision/gain", "decision/low",
                                        "decision/high",  "decision/sd",   "decision/more_pairs" };
    char *title = km_trackio_text(t, s, 2);
    const char *row = km_arena_printf(&t->arena, "%lld", sqlite3_column_int64(s, 0));
    const km_trackio_run run = { sqlite3_column_int64(s, 1), title };
    json_t *metrics = json_object();

    if (!title || !row || !metrics) {
        json_decref(metrics);
        return km_fail_nomem(err);
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        km_trackio_set(metrics, keys[i], s, (int)(4 + i));
    return km_trackio_metric(t, &run, "decisions", row, sqlite3_column_int64(s, 3),
                             sqlite3_column_int64(s, 4), metrics, NULL, err);
}

/* --- alerts --- */

static const char alerts_sql[] =
    "SELECT a.id, a.created_us, a.level, a.title, a.text, h.id, h.title"
    " FROM alerts AS a LEFT JOIN jobs AS j ON a.subject LIKE 'job %'"
    " AND j.id = CAST (substr (a.subject, 5) AS INTEGER)"
    " LEFT JOIN hypotheses AS h ON h.id = coalesce (j.hypothesis,"
    "  CASE WHEN a.subject LIKE 'hypothesis %'"
    "   THEN CAST (substr (a.subject, 12) AS INTEGER) END)"
    " WHERE a.id > ? AND a.id <= ? ORDER BY a.id";

static int add_alert(km_trackio *t, sqlite3_stmt *s, km_err *err)
{
    char *level = km_trackio_text(t, s, 2), *title = km_trackio_text(t, s, 3);
    char *text = km_trackio_text(t, s, 4), *idea = km_trackio_text(t, s, 6);
    const km_trackio_run run = { sqlite3_column_int64(s, 5), idea };

    if (!level || !title || !text || !idea)
        return km_fail_nomem(err);
    return km_trackio_alert(t, &run, sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), level,
                            *title ? title : "alert", text, err);
}

/* --- all four --- */

static int each(km_trackio *t, sqlite3_stmt *s, int (*one)(km_trackio *, sqlite3_stmt *, km_err *),
                km_err *err)
{
    int rc;

    while ((rc = km_db_step(&t->lab->db, s, err)) == 1) {
        rc = one(t, s, err);
        km_arena_release(&t->arena);
        if (rc < 0)
            break;
    }
    sqlite3_finalize(s);
    return rc;
}

int km_trackio_ideas(km_trackio *t, km_err *err)
{
    km_db *db = &t->lab->db;
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err, states_sql, "ii", t->from.event, t->to.event);

    if (rc == 0)
        rc = each(t, s, add_state, err);
    if (rc == 0)
        rc = km_db_query(db, &s, err, pairs_sql, "iiii", t->from.run, t->to.run, t->from.event,
                         t->to.event);
    if (rc == 0)
        rc = each(t, s, add_pair, err);
    if (rc == 0)
        rc = km_db_query(db, &s, err, decisions_sql, "ii", t->from.decision, t->to.decision);
    if (rc == 0)
        rc = each(t, s, add_decision, err);
    if (rc == 0)
        rc = km_db_query(db, &s, err, alerts_sql, "ii", t->from.alert, t->to.alert);
    return rc == 0 ? each(t, s, add_alert, err) : rc;
}
