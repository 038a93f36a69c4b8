#include "lab/lease.h"

#include <stdio.h>

#include "core/limits.h"
#include "lab/budget.h"
#include "lab/clock.h"
#include "lab/event.h"

int km_lease_place(km_db *db, int64_t job, int64_t token, const char *executor, const char *remote,
                   km_err *err)
{
    int64_t changed = 0;
    int rc = km_db_run(db, &changed, err,
                       "UPDATE leases SET executor = ?, remote = ?"
                       " WHERE job = ? AND token = ? AND ended_us IS NULL",
                       "ttii", executor, remote, job, token);

    return rc < 0 ? rc : changed != 0;
}

int km_lease_adopt(km_db *db, int64_t job, int64_t token, const char *worker, int64_t lease_s,
                   km_err *err)
{
    char boot[KM_BOOT_ID_BYTES] = "";
    int64_t changed = 0;
    bool own = false;
    int rc = km_clock_boot_id(boot, err);

    if (rc == 0)
        rc = km_db_enter(db, &own, err);
    if (rc < 0)
        return rc;
    rc = km_db_run(db, &changed, err,
                   "UPDATE jobs SET worker = ?, lease_boot = ?, lease_until_ms = ?"
                   " WHERE id = ? AND token = ? AND state = 'leased'",
                   "ttiii", worker, boot,
                   km_clock_boot_ms() + (lease_s ? lease_s : KM_LAB_LEASE_S) * 1000, job, token);
    if (rc == 0 && changed)
        rc = km_event_add(db, "job", job, "adopted",
                          json_pack("{s:I,s:s}", "token", (json_int_t)token, "worker", worker),
                          err);
    return km_db_leave(db, own, rc < 0 ? rc : changed != 0, err);
}

static int spend(km_db *db, int64_t campaign, int64_t job, int64_t token, double gpu_seconds,
                 double money, km_err *err)
{
    int64_t spent;
    int rc = km_db_int(db, &spent, 0, err,
                       "SELECT 1 FROM events WHERE subject = 'job ' || ? AND what = 'spent'"
                       " AND json_extract(body, '$.token') = ?",
                       "ii", job, token);

    if (rc < 0 || spent)
        return rc;
    if (gpu_seconds > 0)
        rc = km_budget_spend(db, campaign, KM_BUDGET_GPU_SECONDS, gpu_seconds, err);
    if (rc == 0 && money > 0)
        rc = km_budget_spend(db, campaign, KM_BUDGET_MONEY, money, err);
    if (rc == 0)
        rc = km_db_run(db, NULL, err,
                       "UPDATE leases SET gpu_seconds = gpu_seconds + ?, money = money + ?"
                       " WHERE job = ? AND token = ? AND ended_us IS NULL",
                       "ddii", gpu_seconds, money, job, token);
    if (rc == 0)
        rc = km_event_add(db, "job", job, "spent",
                          json_pack("{s:I,s:f,s:f}", "token", (json_int_t)token, "gpu_seconds",
                                    gpu_seconds, "money", money),
                          err);
    return rc;
}

int km_lease_spend(km_db *db, int64_t campaign, int64_t job, int64_t token, double gpu_seconds,
                   double money, km_err *err)
{
    bool own = false;
    int rc;

    rc = km_db_enter(db, &own, err);
    if (rc == 0)
        rc = spend(db, campaign, job, token, gpu_seconds, money, err);
    return km_db_leave(db, own, rc, err);
}

int km_lease_unpaid(km_db *db, int64_t campaign, const char *executor, km_lease_left *out,
                    size_t most, size_t *count, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err,
                         "SELECT l.job, l.token, l.remote FROM leases l JOIN jobs j ON j.id = l.job"
                         " WHERE j.campaign = ? AND l.executor = ?"
                         " AND l.how IN ('expired', 'cancelled') AND l.remote > ''"
                         " AND NOT EXISTS (SELECT 1 FROM events WHERE subject = 'job ' || l.job"
                         " AND what = 'spent' AND json_extract(body, '$.token') = l.token)"
                         " ORDER BY l.ended_us",
                         "it", campaign, executor);

    *count = 0;
    if (rc < 0)
        return rc;
    while (*count < most && (rc = km_db_step(db, s, err)) == 1) {
        km_lease_left *left = &out[(*count)++];
        *left = (km_lease_left){ sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), "" };
        snprintf(left->remote, sizeof left->remote, "%s", (const char *)sqlite3_column_text(s, 2));
    }
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

int km_lease_is_placed(km_db *db, const char *executor, const char *remote, const char *intent,
                       km_err *err)
{
    int64_t yes;
    int rc = km_db_int(db, &yes, 0, err,
                       "SELECT 1 FROM leases WHERE ended_us IS NULL AND executor = ?"
                       " AND remote IN (?, ?)",
                       "ttt", executor, remote, intent);

    return rc < 0 ? rc : (int)yes;
}
