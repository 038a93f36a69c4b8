/* lab/alert.h: what somebody should know: a level, a title, a text, and of what it is said.
 *
 * The store says it of its own accord when a job is dead after its last attempt, when an idea turns
 * out to be invalid (the suspected cheat), when one crashes or takes too long (info), and when a
 * budget reaches KM_LAB_BUDGET_WARN_PERCENT and its end. Any role says it by `kernmill lab alert`.
 * `kernmill lab notify` sends them to a webhook.
 */
#ifndef KERNMILL_LAB_ALERT_H
#define KERNMILL_LAB_ALERT_H

#include <stdbool.h>

#include "lab/db.h"

/* -1, or 0, 1, 2 of "info", "warn", "error". */
int km_alert_level(const char *name);

/* In the caller's transaction, its event too. `key`: what has it already is told no second time,
 * and stays as it was. `subject`: "job 7". Errors: KM_EUSAGE for another level. */
int km_alert_add(km_db *db, int64_t campaign, const char *key, const char *level, const char *title,
                 const char *text, const char *subject, km_err *err);

typedef struct {
    int64_t id, created_us;
    const char *level, *title, *text, *subject; /* in the arena */
} km_alert;

/* The oldest alert after `after` that was not sent and is of `level` or above. 1: *out is it. */
int km_alert_next(km_db *db, km_arena *a, int64_t campaign, int64_t after, const char *level,
                  km_alert *out, km_err *err);

/* One transaction. */
int km_alert_sent(km_db *db, int64_t id, km_err *err);

#endif
