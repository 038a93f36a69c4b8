#include "lab/cost.h"

#include <math.h>

#include "lab/budget.h"

static int spend(km_db *db, int64_t campaign, km_budget_kind kind, const json_t *value,
                 double *amount, km_err *err)
{
    *amount = 0;
    if (!value || json_is_null(value))
        return 0;
    *amount = json_number_value(value);
    if (!json_is_number(value) || *amount < 0 || !isfinite(*amount))
        return km_fail_at(err, KM_EFORMAT, "the result", 0, 0,
                          "'cost': '%s' is no number of 0 or more", km_budget_names[kind]);
    return *amount > 0 ? km_budget_spend(db, campaign, kind, *amount, err) : 0;
}

int km_lab_spend_cost(km_db *db, int64_t campaign, int64_t job, int64_t token, const json_t *body,
                      km_err *err)
{
    const json_t *cost = json_object_get(body, "cost");
    double tokens = 0, money = 0, gpu_seconds = 0;
    int rc;

    if (!cost || json_is_null(cost))
        return 0;
    if (!json_is_object(cost))
        return km_fail_at(err, KM_EFORMAT, "the result", 0, 0,
                          "'cost' is {\"tokens\", \"money\", \"gpu_seconds\"}");
    rc = spend(db, campaign, KM_BUDGET_TOKENS, json_object_get(cost, "tokens"), &tokens, err);
    if (rc == 0)
        rc = spend(db, campaign, KM_BUDGET_MONEY, json_object_get(cost, "money"), &money, err);
    if (rc == 0)
        rc = spend(db, campaign, KM_BUDGET_GPU_SECONDS, json_object_get(cost, "gpu_seconds"),
                   &gpu_seconds, err);
    if (rc < 0)
        return rc;
    return km_db_run(db, NULL, err,
                     "UPDATE leases SET tokens = tokens + ?, money = money + ?,"
                     " gpu_seconds = gpu_seconds + ?"
                     " WHERE job = ? AND token = ? AND ended_us IS NULL",
                     "dddii", tokens, money, gpu_seconds, job, token);
}
