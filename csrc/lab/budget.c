#include "lab/budget.h"

#include <math.h>
#include <stdio.h>

#include "core/limits.h"
#include "lab/alert.h"

const char *const km_budget_names[] = { "runs", "gpu_seconds", "money", "tokens" };

int km_budget_set(km_db *db, int64_t campaign, km_budget_kind kind, double allowed, km_err *err)
{
    static const char sql[] =
        "INSERT INTO budgets (campaign, kind, allowed) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (campaign, kind) DO UPDATE SET allowed = excluded.allowed";

    if (allowed < 0)
        return km_db_run(db, NULL, err, sql, "itt", campaign, km_budget_names[kind],
                         (const char *)NULL);
    return km_db_run(db, NULL, err, sql, "itd", campaign, km_budget_names[kind], allowed);
}

/* Once of each amount that was allowed: who raises it is told again. */
static int tell(km_db *db, int64_t campaign, const char *kind, double used, double allowed,
                km_err *err)
{
    bool spent = used >= allowed;
    char key[96], title[96], text[160], subject[32];

    if (used < allowed * KM_LAB_BUDGET_WARN_PERCENT / 100)
        return 0;
    snprintf(key, sizeof key, "budget: %s of %.17g %s", spent ? "all" : "most", allowed, kind);
    snprintf(title, sizeof title, "the budget of %s is %s", kind, spent ? "spent" : "nearly spent");
    snprintf(text, sizeof text, "%.10g of %.10g %s are used%s", used, allowed, kind,
             spent ? "; nothing more is handed out until it is raised in lab.toml" : "");
    snprintf(subject, sizeof subject, "campaign %lld", (long long)campaign);
    return km_alert_add(db, campaign, key, spent ? "error" : "warn", title, text, subject, err);
}

/* 1: it is limited. */
static int read_limit(km_db *db, int64_t campaign, km_budget_kind kind, double *used,
                      double *allowed, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err,
                         "SELECT used, allowed FROM budgets WHERE campaign = ? AND kind = ?"
                         " AND allowed IS NOT NULL",
                         "it", campaign, km_budget_names[kind]);

    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1) {
        *used = sqlite3_column_double(s, 0);
        *allowed = sqlite3_column_double(s, 1);
    }
    sqlite3_finalize(s);
    return rc;
}

static int check_level(km_db *db, int64_t campaign, km_budget_kind kind, km_err *err)
{
    double used = 0, allowed = 0;
    int rc = read_limit(db, campaign, kind, &used, &allowed, err);

    return rc == 1 ? tell(db, campaign, km_budget_names[kind], used, allowed, err) : rc;
}

int km_budget_spend(km_db *db, int64_t campaign, km_budget_kind kind, double amount, km_err *err)
{
    int rc = km_db_run(db, NULL, err,
                       "INSERT INTO budgets (campaign, kind, used) VALUES (?1, ?2, ?3)"
                       " ON CONFLICT (campaign, kind) DO UPDATE SET used = used + excluded.used",
                       "itd", campaign, km_budget_names[kind], amount);

    return rc == 0 && amount > 0 ? check_level(db, campaign, kind, err) : rc;
}

int km_budget_left(km_db *db, int64_t campaign, km_budget_kind kind, double *out, km_err *err)
{
    double used = 0, allowed = 0;
    int rc = read_limit(db, campaign, kind, &used, &allowed, err);

    *out = rc == 1 ? allowed - used : INFINITY;
    return rc < 0 ? rc : 0;
}

int km_budget_check(km_db *db, int64_t campaign, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(db, &s, err,
                         "SELECT kind, allowed, used FROM budgets WHERE campaign = ?"
                         " AND allowed IS NOT NULL AND used >= allowed",
                         "i", campaign);

    if (rc < 0)
        return rc;
    rc = km_db_step(db, s, err);
    if (rc == 1) {
        rc = km_fail(err, KM_EUSAGE, "the budget of %s is spent: %g of %g",
                     (const char *)sqlite3_column_text(s, 0), sqlite3_column_double(s, 2),
                     sqlite3_column_double(s, 1));
        km_hint(err, "raise it in lab.toml, and run `kernmill lab init` again");
    }
    sqlite3_finalize(s);
    return rc;
}
