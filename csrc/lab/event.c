#include "lab/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "formats/json.h"
#include "lab/clock.h"

static int chain_of(const char *before, int64_t at_us, const char *subject, const char *what,
                    const char *body, char out[KM_SHA256_HEX_BYTES], km_err *err)
{
    char at[32];
    km_hasher h;
    km_sha256 sum;

    snprintf(at, sizeof at, "%lld", (long long)at_us);
    km_hasher_init(&h);
    km_hasher_add_text(&h, before);
    km_hasher_add_text(&h, at);
    km_hasher_add_text(&h, subject);
    km_hasher_add_text(&h, what);
    km_hasher_add_text(&h, body);
    if (km_hasher_final(&h, &sum, err) < 0)
        return KM_EBUG;
    km_hash_hex(&sum, out);
    return 0;
}

int km_event_head(km_db *db, int64_t *id, char chain[KM_SHA256_HEX_BYTES], km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err, "SELECT id, chain FROM events ORDER BY id DESC LIMIT 1", "");

    *id = 0;
    *chain = '\0';
    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1) {
        *id = sqlite3_column_int64(s, 0);
        snprintf(chain, KM_SHA256_HEX_BYTES, "%s", (const char *)sqlite3_column_text(s, 1));
    }
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

int km_event_is(km_db *db, int64_t id, const char *chain, km_err *err)
{
    int64_t yes;
    int rc = km_db_int(db, &yes, 0, err, "SELECT 1 FROM events WHERE id = ? AND chain = ?", "it",
                       id, chain);

    return rc < 0 ? rc : (int)yes;
}

int km_event_add(km_db *db, const char *subject, int64_t id, const char *what, json_t *body,
                 km_err *err)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : strdup("{}");
    char name[64], before[KM_SHA256_HEX_BYTES], chain[KM_SHA256_HEX_BYTES];
    int64_t now = km_clock_us(), last;
    int rc = text ? km_event_head(db, &last, before, err) : km_fail_nomem(err);

    json_decref(body);
    snprintf(name, sizeof name, "%s %lld", subject, (long long)id);
    if (rc == 0)
        rc = chain_of(before, now, name, what, text, chain, err);
    if (rc == 0)
        rc = km_db_run(db, NULL, err,
                       "INSERT INTO events (at_us, subject, what, body, chain) VALUES (?,?,?,?,?)",
                       "itttt", now, name, what, text, chain);
    free(text);
    return rc;
}

static json_t *row_json(sqlite3_stmt *s)
{
    json_t *body = json_loads((const char *)sqlite3_column_text(s, 4), JSON_DECODE_ANY, NULL);

    return json_pack("{s:I,s:I,s:s,s:s,s:o}", "id", (json_int_t)sqlite3_column_int64(s, 0), "at_us",
                     (json_int_t)sqlite3_column_int64(s, 1), "subject",
                     (const char *)sqlite3_column_text(s, 2), "what",
                     (const char *)sqlite3_column_text(s, 3), "body", body ? body : json_null());
}

int km_event_list(km_db *db, const char *subject, int64_t limit, json_t **out, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err,
                         "SELECT * FROM (SELECT id, at_us, subject, what, body FROM events"
                         " WHERE ?1 IS NULL OR subject = ?1 ORDER BY id DESC LIMIT ?2) ORDER BY id",
                         "ti", subject, limit);

    *out = json_array();
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(db, s, err)) == 1)
        json_array_append_new(*out, row_json(s));
    sqlite3_finalize(s);
    return rc;
}

int km_event_check(km_db *db, km_err *err)
{
    char before[KM_SHA256_HEX_BYTES] = "", chain[KM_SHA256_HEX_BYTES];
    sqlite3_stmt *s;
    int rc = km_db_query(
        db, &s, err, "SELECT id, at_us, subject, what, body, chain FROM events ORDER BY id", "");

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(db, s, err)) == 1) {
        rc = chain_of(before, sqlite3_column_int64(s, 1), (const char *)sqlite3_column_text(s, 2),
                      (const char *)sqlite3_column_text(s, 3),
                      (const char *)sqlite3_column_text(s, 4), chain, err);
        if (rc < 0)
            break;
        if (strcmp(chain, (const char *)sqlite3_column_text(s, 5)) != 0) {
            rc = km_fail(err, KM_EFORMAT, "'%s': the history was changed at event %lld", db->path,
                         (long long)sqlite3_column_int64(s, 0));
            break;
        }
        memcpy(before, chain, sizeof before);
    }
    sqlite3_finalize(s);
    return rc;
}
