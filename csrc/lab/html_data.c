/* What the page shows, read from the store. */
#include <string.h>

#include "core/limits.h"
#include "lab/clock.h"
#include "lab/html_internal.h"
#include "lab/overview.h"

/* Of each the newest, oldest first. */
static const struct {
    const char *key, *sql;
} parts[] = {
    { "ideas",
      "SELECT * FROM (SELECT h.id, h.title, substr(h.text, 1, 400) AS text, h.author, h.source,"
      " h.parent, h.commit_id AS 'commit', h.state, h.reason, h.created_us, h.updated_us,"
      " d.id AS decision, d.pairs, d.gain, d.low, d.high, d.created_us AS judged_us"
      " FROM hypotheses h LEFT JOIN decisions d"
      "   ON d.id = (SELECT max(id) FROM decisions WHERE hypothesis = h.id)"
      /* what is measured anew, on another champion, is as good as not judged */
      "   AND h.state NOT IN ('queued', 'running', 'evaluating')"
      " WHERE h.campaign = ?1 ORDER BY h.id DESC LIMIT ?2) ORDER BY id" },
    /* the columns of a job board: wave, bead, job, stage, mode, worker, created, hypothesis */
    { "jobs", "SELECT * FROM (SELECT ifnull(json_extract(j.payload, '$.wave'), c.name) AS wave,"
              " ifnull(h.key, '') AS bead, j.id AS job, j.state AS stage, j.kind AS mode, j.worker,"
              " j.created_us, j.hypothesis, ifnull(h.title, '') AS title"
              " FROM jobs j JOIN campaigns c ON c.id = j.campaign"
              " LEFT JOIN hypotheses h ON h.id = j.hypothesis"
              " WHERE j.campaign = ?1 ORDER BY j.id DESC LIMIT ?2) ORDER BY job" },
    { "leases", "SELECT * FROM (SELECT l.job, l.worker, l.began_us, l.ended_us, l.how, j.kind,"
                " j.hypothesis, ifnull(h.title, '') AS title, j.error"
                " FROM leases l JOIN jobs j ON j.id = l.job"
                " LEFT JOIN hypotheses h ON h.id = j.hypothesis"
                " WHERE j.campaign = ?1 ORDER BY l.began_us DESC, l.job DESC LIMIT ?2)"
                " ORDER BY began_us, job" },
    /* e: what became known after a lease's end, when it is never changed any more */
    { "costs",
      "SELECT j.kind, l.executor, count(*) AS leases, sum(l.how = 'done') AS done,"
      " sum(ifnull(l.ended_us, ?3) - l.began_us) / 1e6 AS seconds,"
      " sum(l.gpu_seconds + ifnull(json_extract(e.body, '$.gpu_seconds'), 0))"
      " AS gpu_seconds,"
      " sum(l.money + ifnull(json_extract(e.body, '$.money'), 0)) AS money,"
      " sum(l.tokens) AS tokens"
      " FROM leases l JOIN jobs j ON j.id = l.job"
      " LEFT JOIN events e ON e.subject = 'job ' || l.job AND e.what = 'spent'"
      " AND e.at_us > l.ended_us AND json_extract(e.body, '$.token') = l.token"
      " WHERE j.campaign = ?1 GROUP BY j.kind, l.executor ORDER BY seconds DESC LIMIT ?2" },
    { "alerts", "SELECT * FROM (SELECT id, level, title, text, subject, created_us, sent_us"
                " FROM alerts WHERE campaign = ?1 ORDER BY id DESC LIMIT ?2) ORDER BY id DESC" },
    { "holdouts", "SELECT u.id, u.hypothesis, h.title, u.parent, u.candidate, u.passed,"
                  " u.created_us FROM holdouts u JOIN hypotheses h ON h.id = u.hypothesis"
                  " WHERE h.campaign = ?1 ORDER BY u.id LIMIT ?2" },
};

static int read_rows(km_lab *lab, const char *sql, int64_t now_us, json_t *out, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err, sql, strstr(sql, "?3") ? "iii" : "ii", lab->campaign,
                         (int64_t)KM_LAB_PAGE_ROWS, now_us);

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&lab->db, s, err)) == 1) {
        json_t *row = json_object();
        for (int i = 0; i < sqlite3_column_count(s); i++)
            json_object_set_new(row, sqlite3_column_name(s, i), km_db_json(s, i));
        json_array_append_new(out, row);
    }
    sqlite3_finalize(s);
    return rc;
}

int km_html_data(km_lab *lab, json_t **out, km_err *err)
{
    int64_t now = km_clock_us(), begun = 0;
    json_t *overview = NULL, *rows;
    int rc = km_db_begin(&lab->db, err); /* one moment for all of them */

    *out = json_object();
    if (rc == 0)
        rc = km_overview(lab, &overview, err);
    if (rc == 0)
        rc = km_db_int(&lab->db, &begun, 0, err, "SELECT created_us FROM campaigns WHERE id = ?",
                       "i", lab->campaign);
    json_object_set_new(*out, "name", json_string(lab->name));
    json_object_set_new(*out, "now_us", json_integer((json_int_t)now));
    json_object_set_new(*out, "begun_us", json_integer((json_int_t)begun));
    json_object_set_new(*out, "overview", overview ? overview : json_object());
    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof *parts; i++) {
        rows = json_array();
        rc = read_rows(lab, parts[i].sql, now, rows, err);
        json_object_set_new(*out, parts[i].key, rows);
    }
    km_db_rollback(&lab->db);
    return rc;
}
