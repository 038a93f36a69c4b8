#include "lab/trackio.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "formats/json.h"
#include "lab/trackio_internal.h"

#define RUN_NAME_BYTES 80
#define FOLDER_TRIES   3

/* --- records --- */

char *km_trackio_text(km_trackio *t, sqlite3_stmt *s, int column)
{
    char *text = km_db_text(&t->arena, s, column);

    if (text)
        km_text_clean(text);
    return text;
}

void km_trackio_set(json_t *metrics, const char *key, sqlite3_stmt *s, int column)
{
    double value = sqlite3_column_double(s, column);

    if (sqlite3_column_type(s, column) == SQLITE_NULL)
        return;
    if (sqlite3_column_type(s, column) == SQLITE_INTEGER)
        json_object_set_new(metrics, key, json_integer(sqlite3_column_int64(s, column)));
    else if (isfinite(value))
        json_object_set_new(metrics, key, json_real(value));
    else
        json_object_set_new(metrics, key, json_string(value > 0 ? "Infinity" : "-Infinity"));
}

char *km_trackio_time(km_trackio *t, int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    char text[32];
    struct tm when;

    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &when));
    return km_arena_printf(&t->arena, "%s.%06lld+00:00", text, (long long)(us % 1000000));
}

/* The same rows give the same id: 128 bits of a SHA-256, written as a UUID. */
static int id_of(const km_trackio *t, const char *table, const char *row, char out[37], km_err *err)
{
    char hex[KM_SHA256_HEX_BYTES];
    km_sha256 sum;
    km_hasher h;

    km_hasher_init(&h);
    km_hasher_add_text(&h, t->identity);
    km_hasher_add_text(&h, table);
    km_hasher_add_text(&h, row);
    if (km_hasher_final(&h, &sum, err) < 0)
        return KM_EBUG;
    km_hash_hex(&sum, hex);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return 0;
}

void km_trackio_cut(char *text, size_t bytes)
{
    if (strlen(text) <= bytes)
        return;
    while (bytes && ((unsigned char)text[bytes] & 0xc0) == 0x80)
        bytes--;
    text[bytes] = '\0';
}

/* "12 wider blocks" */
static char *run_name(km_trackio *t, const km_trackio_run *run)
{
    char *name;

    if (!run->hypothesis)
        return km_arena_strdup(&t->arena, "lab");
    name = km_arena_printf(&t->arena, "%lld %s", (long long)run->hypothesis, run->title);
    if (name)
        km_trackio_cut(name, RUN_NAME_BYTES);
    for (char *c = name; c && *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    return name;
}

/* What all records have. NULL: out of memory. */
static json_t *record(km_trackio *t, const km_trackio_run *run, const char *kind, int64_t at_us)
{
    char *name = run_name(t, run), *when = km_trackio_time(t, at_us);
    char *id = km_arena_printf(&t->arena, "kernmill-%.12s-%lld", t->identity,
                               (long long)run->hypothesis);

    if (!name || !when || !id)
        return NULL;
    return json_pack("{s:i,s:s,s:s,s:s,s:s,s:s}", "v", 1, "kind", kind, "project", t->project,
                     "run", name, "run_id", id, "timestamp", when);
}

/* --- fragments --- */

/* Trackio drops a line that is no JSON, and stops for ever at what it cannot take. */
static int check_line(const char *line, size_t length, km_err *err)
{
    static const char *const texts[] = { "kind", "project", "run", "run_id", "timestamp" };
    json_t *doc = NULL;
    const char *id, *level;
    bool good;

    if (km_json_parse(line, length, "a record for Trackio", &doc, err) < 0)
        return km_fail(err, KM_EBUG, "a record for Trackio is no JSON");
    id = km_json_text_of(doc, "log_id");
    level = km_json_text_of(doc, "level");
    good = *id ? json_is_object(json_object_get(doc, "metrics")) &&
                     json_is_integer(json_object_get(doc, "step"))
               : *km_json_text_of(doc, "alert_id") && *km_json_text_of(doc, "title") &&
                     (strcmp(level, "info") == 0 || strcmp(level, "warn") == 0 ||
                      strcmp(level, "error") == 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        good &= *km_json_text_of(doc, texts[i]) != '\0';
    json_decref(doc);
    return good ? 0 : km_fail(err, KM_EBUG, "a record for Trackio lacks what it must have");
}

static int check_text(const km_str *text, km_err *err)
{
    const char *line = text->data, *end;
    int rc = 0;

    for (; rc == 0 && *line; line = end + 1) {
        end = line + strcspn(line, "\n");
        if (!*end)
            return km_fail(err, KM_EBUG, "a fragment for Trackio is cut");
        rc = check_line(line, (size_t)(end - line), err);
    }
    return rc;
}

/* Trackio removes a writer's folder that it finds empty, between our making it and our writing. */
static int flush(km_trackio *t, km_err *err)
{
    char *path = km_arena_printf(&t->arena, "%s/%08lld.jsonl", t->folder, (long long)t->sequence);
    int rc = path ? km_str_check(&t->text, err) : km_fail_nomem(err);

    if (rc < 0 || !t->text.length)
        return rc;
    rc = check_text(&t->text, err);
    for (int i = 0; rc == 0 && i < FOLDER_TRIES; i++) {
        rc = km_dir_make(t->folder, err);
        if (rc == 0)
            rc = km_file_write(path, t->text.data, t->text.length, 0666, err);
        if (rc != KM_ENOENT)
            break;
        rc = i + 1 < FOLDER_TRIES ? 0 : rc;
    }
    if (rc == 0) {
        t->sequence++;
        t->fragments++;
    }
    km_str_clear(&t->text);
    return rc;
}

/* Takes `doc`. */
static int add(km_trackio *t, json_t *doc, km_err *err)
{
    char *line = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    int rc = line ? 0 : km_fail_nomem(err);

    if (rc == 0) {
        km_str_add(&t->text, line);
        km_str_add_char(&t->text, '\n');
        t->records++;
        rc = km_str_check(&t->text, err);
    }
    if (rc == 0 && t->text.length > KM_TRACKIO_BYTES)
        rc = flush(t, err);
    json_decref(doc);
    free(line);
    return rc;
}

int km_trackio_metric(km_trackio *t, const km_trackio_run *run, const char *table, const char *row,
                      int64_t at_us, int64_t step, json_t *metrics, json_t *config, km_err *err)
{
    json_t *doc = record(t, run, "metric", at_us);
    char id[37];
    int rc = row && doc ? id_of(t, table, row, id, err) : km_fail_nomem(err);

    if (rc == 0 && json_object_set_new(doc, "step", json_integer(step)) == 0 &&
        json_object_set_new(doc, "log_id", json_string(id)) == 0 &&
        json_object_set(doc, "metrics", metrics) == 0 &&
        json_object_set(doc, "config", config ? config : json_null()) == 0)
        rc = add(t, json_incref(doc), err);
    else if (rc == 0)
        rc = km_fail_nomem(err);
    json_decref(doc);
    json_decref(metrics);
    json_decref(config);
    return rc;
}

int km_trackio_alert(km_trackio *t, const km_trackio_run *run, int64_t row, int64_t at_us,
                     const char *level, const char *title, const char *text, km_err *err)
{
    json_t *doc = record(t, run, "alert", at_us);
    char id[37], number[24];
    int rc;

    snprintf(number, sizeof number, "%lld", (long long)row);
    rc = doc ? id_of(t, "alerts", number, id, err) : km_fail_nomem(err);
    if (rc == 0 &&
        json_object_update_new(doc, json_pack("{s:s,s:s,s:s,s:n,s:s}", "title", title, "text", text,
                                              "level", level, "step", "alert_id", id)) == 0)
        rc = add(t, json_incref(doc), err);
    else if (rc == 0)
        rc = km_fail_nomem(err);
    json_decref(doc);
    return rc;
}

/* --- names --- */

/* Trackio keeps letters, digits, '-' and '_' of a project's name, so that "my.lab" and "mylab"
 * would be one; and refuses, with all that is in the inbox, names that it gives to files of its
 * own. */
static char *project_name(km_arena *a, const char *name)
{
    static const char *const reserved[] = {
        "_system",           "_configs",           "_traces", "_artifacts", "_artifact_versions",
        "_artifact_aliases", "_run_artifact_links"
    };
    static const char fit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    char *out = km_arena_strdup(a, *name ? name : "lab");
    bool taken = false;

    for (char *c = out; c && *c; c++)
        if (!strchr(fit, *c))
            *c = '-';
    for (size_t i = 0; out && i < sizeof reserved / sizeof *reserved; i++)
        taken |= km_ends_with(out, reserved[i]);
    if (taken)
        out = km_arena_printf(a, "%s-lab", out);
    return out && km_starts_with(out, "registry-") ? km_arena_printf(a, "lab-%s", out) : out;
}

/* The digest of the first event: no other lab has it. */
static int find_identity(km_trackio *t, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&t->lab->db, &s, err, "SELECT chain FROM events ORDER BY id LIMIT 1", "");

    if (rc < 0)
        return rc;
    rc = km_db_step(&t->lab->db, s, err);
    if (rc == 1)
        snprintf(t->identity, sizeof t->identity, "%s", (const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

static int read_settings(km_trackio *t, km_err *err)
{
    json_t *doc;
    int rc = km_lab_kept(t->lab, &doc, err);

    if (rc < 0)
        return rc;
    t->metric = km_arena_strdup(&t->lab->arena, km_json_text_of(doc, "metric"));
    t->higher = strcmp(km_json_text_of(doc, "direction"), "higher") == 0;
    json_decref(doc);
    return t->metric ? 0 : km_fail_nomem(err);
}

static int find_names(km_trackio *t, const char *dir, km_err *err)
{
    t->project = project_name(&t->lab->arena, t->lab->name);
    t->folder = t->project ? km_arena_printf(&t->lab->arena, "%s/inbox/kernmill-%s-%.8s", dir,
                                             t->project, t->identity)
                           : NULL;
    return t->folder ? 0 : km_fail_nomem(err);
}

/* --- how far it got --- */

static const struct {
    const char *name, *sql;
    size_t offset;
} marks[] = {
    { "event", "SELECT max (id) FROM events", offsetof(km_trackio_mark, event) },
    { "run", "SELECT max (rowid) FROM runs", offsetof(km_trackio_mark, run) },
    { "decision", "SELECT max (id) FROM decisions", offsetof(km_trackio_mark, decision) },
    { "alert", "SELECT max (id) FROM alerts", offsetof(km_trackio_mark, alert) },
    { "champion", "SELECT max (id) FROM champions", offsetof(km_trackio_mark, champion) },
};

static int64_t *mark_at(km_trackio_mark *m, size_t i)
{
    return (int64_t *)(void *)((char *)m + marks[i].offset);
}

static int find_end(km_trackio *t, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof marks / sizeof *marks; i++)
        rc = km_db_int(&t->lab->db, mark_at(&t->to, i), 0, err, marks[i].sql, "");
    return rc;
}

static int read_mark(km_trackio *t, const char *memory, const char *dir, json_t **doc, km_err *err)
{
    json_t *place;

    *doc = NULL;
    if (km_file_exists(memory) && km_json_read(memory, doc, err) < 0)
        return err->code;
    if (!*doc)
        *doc = json_object();
    place = json_object_get(*doc, dir);
    t->sequence = json_integer_value(json_object_get(place, "sequence"));
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        *mark_at(&t->from, i) = json_integer_value(json_object_get(place, marks[i].name));
    return 0;
}

static int write_mark(km_trackio *t, const char *memory, const char *dir, json_t *doc, km_err *err)
{
    json_t *place = json_pack("{s:I}", "sequence", (json_int_t)t->sequence);

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        json_object_set_new(place, marks[i].name, json_integer(*mark_at(&t->to, i)));
    if (json_object_set_new(doc, dir, place) < 0)
        return km_fail_nomem(err);
    return km_json_write(memory, doc, err);
}

/* Behind what lies there and is not imported yet, whatever is remembered. */
static int find_sequence(km_trackio *t, km_err *err)
{
    km_names names = { NULL, 0 };

    if (km_dir_exists(t->folder) && km_dir_list(&t->arena, t->folder, &names, err) < 0)
        return err->code;
    for (size_t i = 0; i < names.count; i++) {
        int64_t n = strtoll(names.names[i], NULL, 10);
        if (n >= t->sequence)
            t->sequence = n + 1;
    }
    return 0;
}

/* --- the whole --- */

static int export_to(km_trackio *t, const char *dir, bool all, km_err *err)
{
    char *memory = km_arena_printf(&t->lab->arena, "%s/.lab/trackio.json", t->lab->root);
    json_t *doc = NULL;
    int rc = memory ? find_identity(t, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = read_settings(t, err);
    if (rc == 0)
        rc = find_names(t, dir, err);
    if (rc == 0)
        rc = read_mark(t, memory, dir, &doc, err);
    if (rc == 0 && all)
        t->from = (km_trackio_mark){ 0 };
    if (rc == 0)
        rc = find_sequence(t, err);
    if (rc == 0)
        rc = find_end(t, err);
    if (rc == 0)
        rc = km_trackio_ideas(t, err);
    if (rc == 0)
        rc = km_trackio_lab(t, err);
    if (rc == 0)
        rc = flush(t, err);
    if (rc == 0)
        rc = write_mark(t, memory, dir, doc, err);
    json_decref(doc);
    return rc;
}

int km_trackio_export(km_lab *lab, const char *dir, bool all, km_trackio_report *out, km_err *err)
{
    km_trackio t = { .lab = lab, .arena = KM_ARENA_INIT, .text = KM_STR_INIT };
    char *lock = km_arena_printf(&t.arena, "%s/.lab/trackio.lock", lab->root), *real = NULL;
    int fd = lock ? km_file_lock(lock, true, err) : km_fail_nomem(err), rc = fd < 0 ? fd : 0;

    if (rc == 0)
        rc = km_dir_make(dir, err);
    if (rc == 0)
        rc = km_path_real(&lab->arena, dir, &real, err);
    if (rc == 0)
        rc = export_to(&t, real, all, err);
    *out = (km_trackio_report){ t.project, t.records, t.fragments };
    if (fd >= 0)
        close(fd);
    km_str_release(&t.text);
    km_arena_release(&t.arena);
    return rc;
}
