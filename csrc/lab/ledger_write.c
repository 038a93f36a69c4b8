/* The other half of lab/ledger.h: what was tried, written for other labs to read. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/file.h"
#include "formats/json.h"
#include "lab/ledger_internal.h"
#include "lab/tsv.h"

/* One thing that was tried, in whatever form it came; "" and NAN: not known. */
struct entry {
    const char *id, *commit, *parent, *title, *comment, *worker, *key, *job, *campaign, *created;
    const char *state; /* of the idea */
    double score, training_s, total_s, memory_mb;
};

/* --- from the store --- */

/* Ideas in the order in which they came. An idea's score is the mean of its candidate's runs, or,
 * where those are not told one by one, of the pairs in its results. */
static const char ideas_sql[] =
    "SELECT h.id, h.key, h.title, h.reason, h.parent, h.commit_id, h.state, h.created_us, "
    "h.payload,"
    " EXISTS (SELECT 1 FROM events WHERE subject = 'hypothesis ' || h.id AND what = 'imported'),"
    " coalesce ((SELECT avg (value) FROM runs JOIN jobs ON jobs.id = job"
    "   WHERE hypothesis = h.id AND arm = 'candidate'),"
    "  (SELECT avg (json_extract (p.value, '$.candidate')) FROM results"
    "   JOIN jobs ON jobs.id = results.job, json_each (results.body, '$.pairs') AS p"
    "   WHERE hypothesis = h.id"
    "   AND json_type (p.value, '$.candidate') IN ('integer', 'real'))),"
    " (SELECT avg (wall_ms) / 1000 FROM runs JOIN jobs ON jobs.id = job"
    "   WHERE hypothesis = h.id AND arm = 'candidate'),"
    " (SELECT sum (ended_us - started_us) / 1e6 FROM jobs"
    "   WHERE hypothesis = h.id AND ended_us > 0 AND started_us > 0),"
    " (SELECT max (id) FROM jobs WHERE hypothesis = h.id),"
    " (SELECT l.worker FROM leases AS l JOIN jobs ON jobs.id = l.job"
    "   WHERE hypothesis = h.id ORDER BY l.began_us DESC LIMIT 1)"
    " FROM hypotheses AS h WHERE h.campaign = ? ORDER BY h.id";

static double real_of(sqlite3_stmt *s, int column)
{
    return sqlite3_column_type(s, column) == SQLITE_NULL ? (double)NAN
                                                         : sqlite3_column_double(s, column);
}

static char *time_text(km_arena *a, int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    char text[32];
    struct tm t;

    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &t));
    return km_arena_strdup(a, text);
}

static int read_entry(km_lab *lab, km_arena *a, sqlite3_stmt *s, struct entry *e, km_err *err)
{
    int64_t id = sqlite3_column_int64(s, 0), job = sqlite3_column_int64(s, 13);

    *e = (struct entry){ .key = km_db_text(a, s, 1),
                         .title = km_db_text(a, s, 2),
                         .comment = km_db_text(a, s, 3),
                         .parent = km_db_text(a, s, 4),
                         .commit = km_db_text(a, s, 5),
                         .state = km_db_text(a, s, 6),
                         .created = time_text(a, sqlite3_column_int64(s, 7)),
                         .worker = km_db_text(a, s, 14),
                         .campaign = lab->name,
                         .score = real_of(s, 10),
                         .training_s = real_of(s, 11),
                         .total_s = real_of(s, 12),
                         .memory_mb = (double)NAN };
    e->job = job ? km_arena_printf(a, "%lld", (long long)job) : "";
    e->id = km_arena_printf(a, "hypothesis-%lld", (long long)id);
    if (e->commit && *e->commit)
        e->id = km_arena_printf(a, "run-%.12s", e->commit);
    if (!e->key || !e->title || !e->comment || !e->parent || !e->commit || !e->state ||
        !e->created || !e->worker || !e->job || !e->id)
        return km_fail_nomem(err);
    return 0;
}

static bool is_in(const char *word, const char *const *words)
{
    while (*words && strcmp(*words, word) != 0)
        words++;
    return *words;
}

static const char *const crashes[] = { "failed", "crashed", "timed_out", "invalid", NULL };
static const char *const wins[] = { "accepted", "promoted", NULL };

/* An idea that nobody ran, or that is not at its end, is no row. */
static bool was_tried(const struct entry *e)
{
    static const char *const ends[] = { "accepted", "promoted", "rejected", "undecided", NULL };

    return is_in(e->state, crashes) || (is_in(e->state, ends) && isfinite(e->score));
}

/* --- from a row of the other table --- */

static double number_of(const json_t *row, const char *key)
{
    double value;

    return km_ledger_number(km_json_text_of(row, key), &value) ? value : (double)NAN;
}

static int convert(km_arena *a, km_ledger_form from, const json_t *row, struct entry *e,
                   km_err *err)
{
    e->score = is_in(e->state, crashes) ? (double)NAN : number_of(row, "val_bpb");
    if (from == KM_LEDGER_AUTORESEARCH) {
        e->commit = km_json_text_of(row, "commit");
        e->id = km_arena_printf(a, "run-%.12s", e->commit);
        e->memory_mb = number_of(row, "memory_gb") * 1024;
        e->created = e->comment = e->key = "";
        return e->id ? 0 : km_fail_nomem(err);
    }
    e->id = km_json_text_of(row, "run_id");
    e->commit = km_json_text_of(row, "candidate_hash");
    if (!*e->commit)
        e->commit = e->id;
    e->memory_mb = number_of(row, "peak_vram_mb");
    return 0;
}

/* --- rows --- */

static const char *number(km_arena *a, int digits, double value)
{
    char text[64];

    if (!isfinite(value))
        return "";
    snprintf(text, sizeof text, "%.*f", digits, value);
    return km_arena_strdup(a, text);
}

/* A name as those files have them: letters, digits, '.', '_' and '-'. */
static const char *slug(km_arena *a, const char *text)
{
    static const char fit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    char *out = km_arena_strdup(a, text);

    for (char *c = out; c && *c; c++)
        if (!strchr(fit, *c))
            *c = '-';
    return out;
}

static int add_fields(km_str *out, const char *const *fields, size_t count, bool quotes,
                      km_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!fields[i])
            return km_fail_nomem(err);
    return km_tsv_add(out, fields, count, quotes, err);
}

static int add_autoresearch(km_str *out, km_arena *a, const struct entry *e, km_err *err)
{
    const char *commit = *e->commit ? km_arena_printf(a, "%.7s", e->commit) : e->id;
    bool crash = is_in(e->state, crashes);
    const char *const fields[] = { commit, number(a, 6, crash ? 0 : e->score),
                                   number(a, 1, isfinite(e->memory_mb) ? e->memory_mb / 1024 : 0),
                                   crash                   ? "crash"
                                   : is_in(e->state, wins) ? "keep"
                                                           : "discard",
                                   e->title };

    return add_fields(out, fields, sizeof fields / sizeof *fields, false, err);
}

static int add_multi(km_str *out, km_arena *a, const struct entry *e, km_err *err)
{
    bool crash = is_in(e->state, crashes);
    const char *const fields[] = { e->id,
                                   e->created,
                                   crash ? "missing_metric" : "completed",
                                   e->job,
                                   slug(a, e->campaign),
                                   slug(a, e->key),
                                   slug(a, e->worker),
                                   e->title,
                                   e->parent,
                                   e->commit,
                                   number(a, 6, e->score),
                                   number(a, 1, e->training_s),
                                   number(a, 1, e->total_s),
                                   number(a, 1, e->memory_mb),
                                   "",
                                   is_in(e->state, wins) ? "true" : "false",
                                   e->comment };

    return add_fields(out, fields, sizeof fields / sizeof *fields, true, err);
}

static int add_entry(km_str *out, km_arena *a, km_ledger_form form, const struct entry *e,
                     km_err *err)
{
    return form == KM_LEDGER_AUTORESEARCH ? add_autoresearch(out, a, e, err)
                                          : add_multi(out, a, e, err);
}

/* As it stood in its own file. */
static int add_raw(km_str *out, km_ledger_form form, const json_t *row, km_err *err)
{
    const char *const *columns = km_ledger_columns[form];
    const char *fields[KM_LEDGER_COLUMNS_MAX];
    size_t n = 0;

    for (; columns[n]; n++)
        fields[n] = km_json_text_of(row, columns[n]);
    return km_tsv_add(out, fields, n, form == KM_LEDGER_MULTIAUTORESEARCH, err);
}

static int add_imported(km_str *out, km_arena *a, km_ledger_form form, const json_t *payload,
                        struct entry *e, km_err *err)
{
    const json_t *row = json_object_get(payload, "row");
    km_ledger_form from;
    int rc = km_ledger_form_of(km_json_text_of(payload, "ledger"), &from, err);

    if (rc < 0 || from == KM_LEDGER_DAG)
        return rc;
    if (from == form)
        return add_raw(out, form, row, err);
    rc = convert(a, from, row, e, err);
    return rc == 0 ? add_entry(out, a, form, e, err) : rc;
}

static int add_idea(km_lab *lab, km_str *out, km_ledger_form form, sqlite3_stmt *s, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    json_t *payload = NULL;
    struct entry e;
    int rc = read_entry(lab, &a, s, &e, err);

    if (rc == 0 && sqlite3_column_int(s, 9)) {
        payload = json_loads((const char *)sqlite3_column_text(s, 8), 0, NULL);
        rc = add_imported(out, &a, form, payload, &e, err);
    } else if (rc == 0 && was_tried(&e)) {
        rc = add_entry(out, &a, form, &e, err);
    }
    json_decref(payload);
    km_arena_release(&a);
    return rc;
}

/* The commit that this lab began with, when it was measured. */
static int add_baseline(km_lab *lab, km_str *out, km_ledger_form form, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err,
                         "SELECT commit_id, created_us,"
                         " (SELECT avg (value) FROM runs WHERE runs.commit_id = c.commit_id)"
                         " FROM champions AS c WHERE campaign = ? AND hypothesis IS NULL"
                         " ORDER BY id LIMIT 1",
                         "i", lab->campaign);

    if (rc < 0)
        return rc;
    rc = km_db_step(&lab->db, s, err);
    if (rc == 1 && sqlite3_column_type(s, 2) != SQLITE_NULL) {
        struct entry e = { .commit = km_db_text(&a, s, 0),
                           .created = time_text(&a, sqlite3_column_int64(s, 1)),
                           .score = sqlite3_column_double(s, 2),
                           .parent = "",
                           .title = "baseline",
                           .comment = "",
                           .worker = "",
                           .key = "baseline",
                           .job = "",
                           .campaign = lab->name,
                           .state = "promoted",
                           .training_s = (double)NAN,
                           .total_s = (double)NAN,
                           .memory_mb = (double)NAN };
        e.id = e.commit ? km_arena_printf(&a, "run-%.12s", e.commit) : NULL;
        rc = e.id && e.created ? add_entry(out, &a, form, &e, err) : km_fail_nomem(err);
    }
    sqlite3_finalize(s);
    km_arena_release(&a);
    return rc < 0 ? rc : 0;
}

static int write_table(km_lab *lab, const char *path, km_ledger_form form, km_err *err)
{
    const char *const *columns = km_ledger_columns[form];
    km_str out = KM_STR_INIT;
    sqlite3_stmt *s = NULL;
    size_t n = 0;
    int rc;

    while (columns[n])
        n++;
    rc = km_tsv_add(&out, columns, n, false, err);
    if (rc == 0)
        rc = add_baseline(lab, &out, form, err);
    if (rc == 0)
        rc = km_db_query(&lab->db, &s, err, ideas_sql, "i", lab->campaign);
    while (rc == 0 && (rc = km_db_step(&lab->db, s, err)) == 1)
        rc = add_idea(lab, &out, form, s, err);
    sqlite3_finalize(s);
    if (rc == 0)
        rc = km_file_update(path, out.data, out.length, 0666, err);
    km_str_release(&out);
    return rc;
}

/* --- the dag --- */

static int add_imported_commits(km_lab *lab, json_t *list, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err,
                         "SELECT payload FROM hypotheses AS h WHERE campaign = ? AND EXISTS"
                         " (SELECT 1 FROM events WHERE subject = 'hypothesis ' || h.id"
                         "  AND what = 'imported') ORDER BY id",
                         "i", lab->campaign);

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&lab->db, s, err)) == 1) {
        json_t *payload = json_loads((const char *)sqlite3_column_text(s, 0), 0, NULL);
        if (strcmp(km_json_text_of(payload, "ledger"), km_ledger_names[KM_LEDGER_DAG]) == 0)
            json_array_append(list, json_object_get(payload, "row"));
        json_decref(payload);
    }
    sqlite3_finalize(s);
    return rc;
}

static json_t *champion_json(km_arena *a, sqlite3_stmt *s)
{
    return json_pack(
        "{s:s,s:s?,s:s,s:s,s:o,s:s,s:s,s:b}", "hash", (const char *)sqlite3_column_text(s, 0),
        "parent_hash", (const char *)sqlite3_column_text(s, 1), "contributor_id",
        (const char *)sqlite3_column_text(s, 2), "message", (const char *)sqlite3_column_text(s, 3),
        "val_bpb",
        sqlite3_column_type(s, 4) == SQLITE_NULL ? json_null()
                                                 : json_real(sqlite3_column_double(s, 4)),
        "platform", (const char *)sqlite3_column_text(s, 5), "created_at",
        time_text(a, sqlite3_column_int64(s, 6)), "is_master", sqlite3_column_int(s, 7));
}

static int add_champions(km_lab *lab, km_arena *a, json_t *list, km_err *err)
{
    static const char sql[] =
        "SELECT c.commit_id, p.commit_id, coalesce (h.author, ''), coalesce (h.title, 'baseline'),"
        " (SELECT avg (value) FROM runs WHERE runs.commit_id = c.commit_id),"
        " coalesce ((SELECT block FROM runs WHERE runs.commit_id = c.commit_id LIMIT 1), ''),"
        " c.created_us, c.id = (SELECT max (id) FROM champions WHERE campaign = c.campaign)"
        " FROM champions AS c LEFT JOIN champions AS p ON p.id = c.previous"
        " LEFT JOIN hypotheses AS h ON h.id = c.hypothesis WHERE c.campaign = ? ORDER BY c.id";
    json_t *earlier;
    sqlite3_stmt *s;
    bool any = false;
    size_t i, before = json_array_size(list);
    int rc = km_db_query(&lab->db, &s, err, sql, "i", lab->campaign);

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&lab->db, s, err)) == 1) {
        any = true;
        if (json_array_append_new(list, champion_json(a, s)) < 0) {
            rc = km_fail_nomem(err);
            break;
        }
    }
    sqlite3_finalize(s);
    /* there is one master: ours, once there is one */
    for (i = 0; any && i < before && (earlier = json_array_get(list, i)); i++)
        json_object_set_new(earlier, "is_master", json_false());
    return rc;
}

/* As km_json_write, but with numbers as short as they were where nothing is lost by that: 0.962777,
 * not 0.96277699999999999. */
static int write_json(const char *path, const json_t *doc, km_err *err)
{
    char *text = json_dumps(doc, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_t *again = text ? json_loads(text, 0, NULL) : NULL;
    km_str out = KM_STR_INIT;
    int rc;

    if (!json_equal(doc, again)) {
        free(text);
        text = json_dumps(doc, JSON_INDENT(2));
    }
    km_str_add(&out, text ? text : "");
    km_str_add_char(&out, '\n');
    rc = text ? km_str_check(&out, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = km_file_update(path, out.data, out.length, 0666, err);
    json_decref(again);
    free(text);
    km_str_release(&out);
    return rc;
}

int km_ledger_write(km_lab *lab, const char *path, km_ledger_form form, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    json_t *list;
    int rc;

    if (form != KM_LEDGER_DAG)
        return write_table(lab, path, form, err);
    list = json_array();
    rc = add_imported_commits(lab, list, err);
    if (rc == 0)
        rc = add_champions(lab, &a, list, err);
    if (rc == 0)
        rc = write_json(path, list, err);
    json_decref(list);
    km_arena_release(&a);
    return rc;
}
