/* GPU seconds and money are a hard stop for what runs, too: as soon as this driver's runs have cost
 * what is left, those that cost end, and wait in the queue for who raises the budget. What other
 * drivers' runs cost is known when they end. Runs are counted when they are handed out, and tokens
 * are known when an agent has ended: these two end nothing. */
#include "lab/budget.h"
#include "lab/clock.h"
#include "lab/driver_internal.h"

#define COUNT_MS 1000

static const struct {
    km_budget_kind kind;
    const char *why;
} stops[] = {
    { KM_BUDGET_GPU_SECONDS, "the budget of gpu_seconds is spent" },
    { KM_BUDGET_MONEY, "the budget of money is spent" },
};

static double cost_in_a_second(const km_run *r, km_budget_kind kind)
{
    return kind == KM_BUDGET_MONEY ? r->money_s : r->gpus;
}

/* What runs, and is paid when it ends. */
static double owed(const struct km_driving *d, km_budget_kind kind, int64_t now)
{
    double sum = 0;

    for (int i = 0; i < d->run_count; i++) {
        const km_run *r = &d->runs[i];
        if (r->state == KM_RUN_BEGUN && r->running_ms)
            sum += cost_in_a_second(r, kind) * (double)(now - r->running_ms) / 1000;
    }
    return sum;
}

static void end_all(struct km_driving *d, km_budget_kind kind, const char *why)
{
    d->spent = true;
    for (int i = 0; i < d->run_count; i++) {
        km_run *r = &d->runs[i];
        if (r->state != KM_RUN_BEGUN || r->killed || cost_in_a_second(r, kind) <= 0)
            continue;
        r->stopped = true;
        km_executor_kill(r->kind->executor, r, why);
    }
}

int km_driving_hold_budget(struct km_driving *d, km_err *err)
{
    int64_t now = km_clock_boot_ms();
    double left;
    int rc = 0;

    if (now - d->counted_ms < COUNT_MS)
        return 0;
    d->counted_ms = now;
    for (size_t k = 0; rc == 0 && k < sizeof stops / sizeof *stops; k++) {
        double sum = owed(d, stops[k].kind, now);
        if (sum <= 0)
            continue;
        rc = km_budget_left(&d->lab->db, d->lab->campaign, stops[k].kind, &left, err);
        if (rc == 0 && sum >= left)
            end_all(d, stops[k].kind, stops[k].why);
    }
    return rc;
}
