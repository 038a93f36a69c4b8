/* lab/budget.h: what a campaign may spend, and has spent. When one is spent nothing more is
 * handed out. What runs by then: lab/driver_budget.c. */
#ifndef KERNMILL_LAB_BUDGET_H
#define KERNMILL_LAB_BUDGET_H

#include "lab/db.h"

typedef enum {
    KM_BUDGET_RUNS, /* jobs that were handed out, repeats included */
    KM_BUDGET_GPU_SECONDS,
    KM_BUDGET_MONEY, /* in whatever the settings say */
    KM_BUDGET_TOKENS,
    KM_BUDGET_KINDS
} km_budget_kind;

extern const char *const km_budget_names[]; /* "runs", ... */

/* All in the caller's transaction. `allowed` negative: counted, not limited. Spending says so when
 * most of it is used, and when all is (lab/alert.h). */
int km_budget_set(km_db *db, int64_t campaign, km_budget_kind kind, double allowed, km_err *err);
int km_budget_spend(km_db *db, int64_t campaign, km_budget_kind kind, double amount, km_err *err);

/* INFINITY where it is not limited; below 0: more was spent. */
int km_budget_left(km_db *db, int64_t campaign, km_budget_kind kind, double *out, km_err *err);

/* Errors: KM_EUSAGE naming what is spent. */
int km_budget_check(km_db *db, int64_t campaign, km_err *err);

#endif
