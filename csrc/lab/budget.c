#include "lab/budget.h"

#include <stdio.h>

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

int km_budget_spend(km_db *db, int64_t campaign, km_budget_kind kind, double amount, km_err *err)
{
    return km_db_run(db, NULL, err,
                     "INSERT INTO budgets (campaign, kind, used) VALUES (?1, ?2, ?3)"
                     " ON CONFLICT (campaign, kind) DO UPDATE SET used = used + excluded.used",
                     "itd", campaign, km_budget_names[kind], amount);
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
