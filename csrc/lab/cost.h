/* lab/cost.h: what a role says that its job has cost. */
#ifndef KERNMILL_LAB_COST_H
#define KERNMILL_LAB_COST_H

#include <jansson.h>

#include "lab/db.h"

/* Spends a result's "cost": {"tokens", "money", "gpu_seconds"}, each a number or missing, from the
 * campaign's budget, and adds it to the lease, which must not have ended. In the caller's
 * transaction. Errors: KM_EFORMAT. */
int km_lab_spend_cost(km_db *db, int64_t campaign, int64_t job, int64_t token, const json_t *body,
                      km_err *err);

#endif
