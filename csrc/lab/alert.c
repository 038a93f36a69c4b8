#include "lab/alert.h"

#include <string.h>

#include "lab/clock.h"
#include "lab/event.h"

int km_alert_level(const char *name)
{
    static const char *const names[] = { "info", "warn", "error" };

    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

int km_alert_add(km_db *db, int64_t campaign, const char *key, const char *level, const char *title,
                 const char *text, const char *subject, km_err *err)
{
    int64_t made = 0;
    int rc = 0;

    if (km_alert_level(level) < 0)
        return km_fail(err, KM_EUSAGE, "an alert's level is info, warn or error, not '%s'", level);
    rc = km_db_run(db, &made, err,
                   "INSERT INTO alerts (campaign, key, level, title, text, subject, created_us)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (campaign, key) DO NOTHING",
                   "ittttti", campaign, key, level, title, text, subject, km_clock_us());
    if (rc < 0 || !made)
        return rc;
    return km_event_add(db, "alert", sqlite3_last_insert_rowid(db->handle), level,
                        json_pack("{s:s,s:s,s:s}", "key", key, "title", title, "subject", subject),
                        err);
}

int km_alert_next(km_db *db, km_arena *a, int64_t campaign, int64_t after, const char *level,
                  km_alert *out, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err,
                         "SELECT id, created_us, level, title, text, subject FROM alerts"
                         " WHERE campaign = ? AND id > ? AND sent_us = 0 AND"
                         " instr('info warn error', level) >= instr('info warn error', ?)"
                         " ORDER BY id LIMIT 1",
                         "iit", campaign, after, level);

    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1)
        *out = (km_alert){ sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
                           km_db_text(a, s, 2),        km_db_text(a, s, 3),
                           km_db_text(a, s, 4),        km_db_text(a, s, 5) };
    sqlite3_finalize(s);
    if (rc == 1 && (!out->level || !out->title || !out->text || !out->subject))
        return km_fail_nomem(err);
    return rc;
}

int km_alert_sent(km_db *db, int64_t id, km_err *err)
{
    int rc = km_db_begin(db, err);

    if (rc == 0)
        rc = km_db_run(db, NULL, err, "UPDATE alerts SET sent_us = ? WHERE id = ?", "ii",
                       km_clock_us(), id);
    if (rc == 0)
        return km_db_commit(db, err);
    km_db_rollback(db);
    return rc;
}
