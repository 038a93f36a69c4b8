/* lab/lease.h: what is known of a lease beside its end: where its job runs, and what that cost. */
#ifndef KERNMILL_LAB_LEASE_H
#define KERNMILL_LAB_LEASE_H

#include "lab/db.h"

/* Where the job runs: "slurm", "1234_5". In the caller's transaction when one is open. 1, or 0 when
 * the lease has ended. */
int km_lease_place(km_db *db, int64_t job, int64_t token, const char *executor, const char *remote,
                   km_err *err);

/* Takes a lease over from a worker of this machine that is gone, also over a boot. 1, or 0 when the
 * job is another's by now. */
int km_lease_adopt(km_db *db, int64_t job, int64_t token, const char *worker, int64_t lease_s,
                   km_err *err);

/* What running it cost, beside what its result says (lab/cost.h): taken from the campaign's budget,
 * and added to the lease while that goes on. Once for a lease, also for one that has ended, and
 * also when it was nothing: the event "spent" says that it was. */
int km_lease_spend(km_db *db, int64_t campaign, int64_t job, int64_t token, double gpu_seconds,
                   double money, km_err *err);

typedef struct {
    int64_t job, token;
    char remote[128];
} km_lease_left;

/* Leases that another had, that ended without their worker, and of which nobody said what they
 * cost: at most `most` into `out`. *count: how many. */
int km_lease_unpaid(km_db *db, int64_t campaign, const char *executor, km_lease_left *out,
                    size_t most, size_t *count, km_err *err);

/* Whether a lease that goes on has one of these two places: 1 or 0. */
int km_lease_is_placed(km_db *db, const char *executor, const char *remote, const char *intent,
                       km_err *err);

#endif
