#include "lab/ledger.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "lab/hypothesis.h"
#include "lab/ledger_internal.h"
#include "lab/tsv.h"

const char *const km_ledger_names[] = { "autoresearch", "multiautoresearch", "dag", NULL };

static const char *const columns_5[] = { "commit", "val_bpb",     "memory_gb",
                                         "status", "description", NULL };
static const char *const columns_17[] = { "run_id",         "created_at",   "status",
                                          "job_id",         "campaign",     "experiment_id",
                                          "worker_id",      "hypothesis",   "parent_hash",
                                          "candidate_hash", "val_bpb",      "training_seconds",
                                          "total_seconds",  "peak_vram_mb", "mfu_percent",
                                          "promoted",       "comment",      NULL };
const char *const *const km_ledger_columns[] = { columns_5, columns_17, NULL };

int km_ledger_form_of(const char *name, km_ledger_form *out, km_err *err)
{
    for (int i = 0; i < KM_LEDGER_FORMS; i++) {
        if (strcmp(name, km_ledger_names[i]) == 0) {
            *out = (km_ledger_form)i;
            return 0;
        }
    }
    return km_fail(err, KM_EUSAGE,
                   "a ledger has the form of autoresearch or multiautoresearch,"
                   " not '%s'",
                   name);
}

bool km_ledger_number(const char *text, double *out)
{
    char *end;

    if (!*text || text[strspn(text, "+-.0123456789eE")])
        return false; /* no hexadecimal, no "inf" */
    *out = strtod(text, &end);
    return !*end && isfinite(*out);
}

/* "Z" or "+02:00"; nothing is UTC. */
static bool read_offset(const char *text, int64_t *out_s)
{
    int hours, minutes, n = 0;

    *out_s = 0;
    if (!*text || strcmp(text, "Z") == 0)
        return true;
    if (sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &n) != 2 || text[1 + n] || hours < 0 ||
        hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *out_s = (hours * 60LL + minutes) * 60 * (*text == '-' ? -1 : 1);
    return *text == '-' || *text == '+';
}

bool km_ledger_time(const char *text, int64_t *out_us)
{
    struct tm t = { 0 };
    int64_t offset_s;
    double fraction = 0;
    int n = 0;

    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour,
               &t.tm_min, &t.tm_sec, &n) != 6 ||
        t.tm_year < 1970 || t.tm_mon < 1 || t.tm_mon > 12 || t.tm_mday < 1 || t.tm_mday > 31 ||
        t.tm_hour < 0 || t.tm_hour > 23 || t.tm_min < 0 || t.tm_min > 59 || t.tm_sec < 0 ||
        t.tm_sec > 60)
        return false;
    text += n;
    if (*text == '.') {
        char *end;
        fraction = strtod(text, &end);
        text = end;
    }
    if (!read_offset(text, &offset_s))
        return false;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    *out_us = ((int64_t)timegm(&t) - offset_s) * 1000000 + llround(fraction * 1e6);
    return true;
}

/* --- one row --- */

/* A file while it is read. */
struct reading {
    km_lab *lab;
    const char *path;
    char digest[KM_SHA256_HEX_BYTES];
    json_t *seen; /* how often a key was in this file: a row may be there twice */
    km_ledger_report report;
};

static int bad(const struct reading *r, unsigned line, km_err *err, const char *what,
               const char *text)
{
    if (r->report.form == KM_LEDGER_DAG)
        return km_fail_at(err, KM_EFORMAT, r->path, 0, 0, "commit %u: %s '%.64s'", line, what,
                          text);
    return km_fail_at(err, KM_EFORMAT, r->path, line, 0, "%s '%.64s'", what, text);
}

/* What the row says of itself, for the store; `score` is NAN where there is none. */
static int take_autoresearch(const struct reading *r, unsigned line, const json_t *row,
                             km_history *h, double *score, km_err *err)
{
    static const struct {
        const char *status, *state;
    } states[] = { { "keep", "accepted" }, { "discard", "rejected" }, { "crash", "crashed" } };
    const char *status = km_json_text_of(row, "status");
    double memory;

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(status, states[i].status) == 0)
            h->state = states[i].state;
    if (!h->state)
        return bad(r, line, err, "the status is keep, discard or crash, not", status);
    if (!km_ledger_number(km_json_text_of(row, "val_bpb"), score))
        return bad(r, line, err, "val_bpb is no number:", km_json_text_of(row, "val_bpb"));
    if (!km_ledger_number(km_json_text_of(row, "memory_gb"), &memory))
        return bad(r, line, err, "memory_gb is no number:", km_json_text_of(row, "memory_gb"));
    if (strcmp(status, "crash") == 0)
        *score = (double)NAN;
    h->told.title = km_json_text_of(row, "description");
    return 0;
}

/* "failed" is there also said of what ran and lost. */
static const char *state_of(const char *status, bool promoted, double score)
{
    static const struct {
        const char *status, *state;
    } states[] = { { "crash", "crashed" },       { "crashed", "crashed" },
                   { "timeout", "timed_out" },   { "timed_out", "timed_out" },
                   { "cancelled", "cancelled" }, { "canceled", "cancelled" } };

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(status, states[i].status) == 0)
            return states[i].state;
    if (!isfinite(score))
        return "failed";
    return promoted ? "accepted" : "rejected";
}

static int take_numbers(const struct reading *r, unsigned line, const json_t *row, double *score,
                        km_err *err)
{
    static const char *const keys[] = { "training_seconds", "total_seconds", "peak_vram_mb",
                                        "mfu_percent", "val_bpb" };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text = km_json_text_of(row, keys[i]);
        *score = (double)NAN;
        if (*text && !km_ledger_number(text, score))
            return bad(r, line, err, "this is no number:", text);
    }
    return 0;
}

static int take_multi(const struct reading *r, unsigned line, const json_t *row, km_history *h,
                      double *score, km_err *err)
{
    const char *created = km_json_text_of(row, "created_at");
    const char *promoted = km_json_text_of(row, "promoted");
    const char *status = km_json_text_of(row, "status");

    if (take_numbers(r, line, row, score, err) < 0)
        return KM_EFORMAT;
    if (strcmp(promoted, "true") != 0 && strcmp(promoted, "false") != 0)
        return bad(r, line, err, "promoted is true or false, not", promoted);
    if (!*km_json_text_of(row, "run_id") || !*status)
        return bad(r, line, err, "run_id or status is missing:", status);
    if (*created && !km_ledger_time(created, &h->created_us))
        return bad(r, line, err, "created_at is no time:", created);
    if (strcmp(status, "missing_metric") == 0)
        *score = (double)NAN;
    h->state = state_of(status, *promoted == 't', *score);
    h->told.title = km_json_text_of(row, "hypothesis");
    h->told.text = km_json_text_of(row, "comment");
    h->told.author = km_json_text_of(row, "worker_id");
    h->told.parent = km_json_text_of(row, "parent_hash");
    return 0;
}

static int take_dag(const struct reading *r, unsigned line, const json_t *row, km_history *h,
                    double *score, km_err *err)
{
    const json_t *value = json_object_get(row, "val_bpb");
    const char *created = km_json_text_of(row, "created_at");

    if (!*km_json_text_of(row, "hash"))
        return bad(r, line, err, "its hash is missing:", "");
    if (value && !json_is_null(value) && !json_is_number(value))
        return bad(r, line, err, "val_bpb is no number:", km_json_text_of(row, "val_bpb"));
    if (*created && !km_ledger_time(created, &h->created_us))
        return bad(r, line, err, "created_at is no time:", created);
    *score = json_is_number(value) ? json_number_value(value) : (double)NAN;
    h->state = "accepted";
    h->told.title = km_json_text_of(row, "message");
    h->told.author = km_json_text_of(row, "contributor_id");
    h->told.parent = km_json_text_of(row, "parent_hash");
    return 0;
}

/* The row's own digest, with a number when the file has it again. */
static char *key_of(struct reading *r, km_arena *a, const json_t *row, km_err *err)
{
    char *text = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS), hex[KM_SHA256_HEX_BYTES];
    json_int_t times;
    km_sha256 sum;
    int rc = text ? km_hash_bytes(text, strlen(text), &sum, err) : km_fail_nomem(err);

    free(text);
    if (rc < 0)
        return NULL;
    km_hash_hex(&sum, hex);
    times = json_integer_value(json_object_get(r->seen, hex)) + 1;
    json_object_set_new(r->seen, hex, json_integer(times));
    if (times > 1)
        return km_arena_printf(a, "%s:%.32s:%lld", km_ledger_names[r->report.form], hex, times);
    return km_arena_printf(a, "%s:%.32s", km_ledger_names[r->report.form], hex);
}

static int check_lengths(const struct reading *r, unsigned line, const km_history *h, km_err *err)
{
    const char *const texts[] = { h->told.title, h->told.text, h->told.author, h->told.parent };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strlen(texts[i]) > KM_LAB_TEXT_BYTES_MAX)
            return bad(r, line, err, "a text is too long:", texts[i]);
    return 0;
}

static int add_row(struct reading *r, unsigned line, json_t *row, km_err *err)
{
    static int (*const take[])(const struct reading *, unsigned, const json_t *, km_history *,
                               double *, km_err *) = { take_autoresearch, take_multi, take_dag };
    const char *name = km_ledger_names[r->report.form];
    km_history h = { .told = { .text = "", .author = "", .parent = "", .source = name },
                     .file = km_path_base(r->path),
                     .digest = r->digest,
                     .line = line };
    km_arena a = KM_ARENA_INIT;
    char *payload = NULL;
    double score = (double)NAN;
    int64_t id;
    bool made = false;
    int rc = take[r->report.form](r, line, row, &h, &score, err);

    if (rc == 0)
        rc = check_lengths(r, line, &h, err);
    if (rc == 0 && !(h.told.key = key_of(r, &a, row, err)))
        rc = km_fail_nomem(err);
    if (rc == 0) {
        json_t *doc = json_pack("{s:s,s:O,s:o}", "ledger", name, "row", row, "score",
                                isfinite(score) ? json_real(score) : json_null());
        h.told.payload = payload = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
        json_decref(doc);
        rc = payload ? 0 : km_fail_nomem(err);
    }
    if (rc == 0)
        rc = km_hypothesis_import(&r->lab->db, r->lab->campaign, &h, &id, &made, err);
    r->report.rows++;
    r->report.made += made;
    free(payload);
    km_arena_release(&a);
    return rc;
}

/* --- files --- */

/* Which table has these columns; KM_LEDGER_DAG: none. */
static km_ledger_form form_of_header(const km_tsv *t)
{
    for (int form = 0; form < KM_LEDGER_DAG; form++) {
        const char *const *columns = km_ledger_columns[form];
        size_t i = 0;
        while (columns[i] && i < t->count && strcmp(columns[i], t->fields[i]) == 0)
            i++;
        if (!columns[i] && i == t->count)
            return (km_ledger_form)form;
    }
    return KM_LEDGER_DAG;
}

static json_t *row_json(const km_tsv *t, const char *const *columns)
{
    json_t *row = json_object();

    for (size_t i = 0; i < t->count; i++) {
        km_tsv_clean(t->fields[i]);
        if (json_object_set_new(row, columns[i], json_string(t->fields[i])) < 0) {
            json_decref(row);
            return NULL;
        }
    }
    return row;
}

static int read_rows(struct reading *r, km_tsv *t, km_err *err)
{
    const char *const *columns = km_ledger_columns[r->report.form];
    size_t count = 0;
    int rc;

    while (columns[count])
        count++;
    t->quotes = r->report.form == KM_LEDGER_MULTIAUTORESEARCH;
    while ((rc = km_tsv_next(t, err)) == 1) {
        json_t *row;
        if (t->count != count)
            return km_fail_at(err, KM_EFORMAT, r->path, t->line, 0,
                              "%zu fields; the header names %zu", t->count, count);
        row = row_json(t, columns);
        rc = row ? add_row(r, t->line, row, err) : km_fail_nomem(err);
        json_decref(row);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int read_table(struct reading *r, char *text, km_err *err)
{
    km_tsv t;
    int rc;

    km_tsv_init(&t, r->path, text);
    rc = km_tsv_next(&t, err);
    if (rc >= 0)
        r->report.form = form_of_header(&t);
    if (rc >= 0 && r->report.form == KM_LEDGER_DAG) {
        km_fail_at(err, KM_EFORMAT, r->path, t.line, 0,
                   "the columns are neither autoresearch's nor multiautoresearch's");
        return km_hint(err,
                       "their first lines begin with 'commit' and 'run_id'; dag.json is a list");
    }
    return rc < 0 ? rc : read_rows(r, &t, err);
}

static int read_dag(struct reading *r, const char *text, size_t size, km_err *err)
{
    json_t *list, *row;
    size_t i;
    int rc = km_json_parse(text, size, r->path, &list, err);

    r->report.form = KM_LEDGER_DAG;
    if (rc < 0)
        return rc;
    json_array_foreach(list, i, row)
    {
        rc = json_is_object(row) ? add_row(r, (unsigned)i + 1, row, err)
                                 : bad(r, (unsigned)i + 1, err, "it is no object", "");
        if (rc < 0)
            break;
    }
    json_decref(list);
    return rc;
}

static int read_file(struct reading *r, char *text, size_t size, km_err *err)
{
    const char *begin;
    int rc;

    if (strlen(text) != size)
        return km_fail_at(err, KM_EFORMAT, r->path, 0, 0, "this is no text: it holds a zero byte");
    if (km_starts_with(text, "\xef\xbb\xbf")) { /* a byte order mark */
        text += 3;
        size -= 3;
    }
    begin = text + strspn(text, " \t\r\n");
    if (*begin == '{')
        return km_fail_at(err, KM_EFORMAT, r->path, 0, 0,
                          "this is one JSON object; dag.json is a list of commits");
    rc = km_db_begin(&r->lab->db, err);
    if (rc == 0)
        rc = *begin == '[' ? read_dag(r, text, size, err) : read_table(r, text, err);
    if (rc == 0)
        return km_db_commit(&r->lab->db, err);
    km_db_rollback(&r->lab->db);
    return rc;
}

int km_ledger_read(km_lab *lab, const char *path, km_ledger_report *out, km_err *err)
{
    struct reading r = { .lab = lab, .path = path, .seen = json_object() };
    km_arena a = KM_ARENA_INIT;
    km_sha256 sum;
    char *text;
    size_t size;
    int rc = km_file_read(&a, path, KM_TEXT_BYTES_MAX, &text, &size, err);

    if (rc == 0)
        rc = km_hash_bytes(text, size, &sum, err);
    if (rc == 0) {
        km_hash_hex(&sum, r.digest);
        rc = read_file(&r, text, size, err);
    }
    *out = r.report;
    json_decref(r.seen);
    km_arena_release(&a);
    return rc;
}
