/* lab/driver_internal.h: what the files of the driver share. */
#ifndef KERNMILL_LAB_DRIVER_INTERNAL_H
#define KERNMILL_LAB_DRIVER_INTERNAL_H

#include "lab/driver.h"

struct km_driving {
    km_lab *lab;
    const km_driver *o;
    km_driver_result *out;
    km_run *runs;
    km_run **some;            /* room for as many, of one executor */
    int run_count;            /* slots, and what was adopted beyond them */
    int64_t lease_s, team_ms; /* team_ms: when the team was asked last */
    int64_t pause_ms;         /* until then nothing is taken: a job could not be prepared; or 0 */
    int64_t foreign_ms; /* until then a lease goes on that may be of a container that is gone */
    int64_t counted_ms; /* when it was last counted what the runs have cost */
    bool spent;         /* of the budget */
    bool news;          /* a result came in that the team has not seen */
    bool busy;          /* the team had something to do, or was not asked yet */
};

void km_driving_say(const struct km_driving *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

const km_run_kind *km_driving_kind(const struct km_driving *d, const char *name);

/* "slurm/1234": who this process is, when that executor does the job; in a container, whose process
 * ids are its own, "slurm/1234@4026532281". */
void km_driving_worker(const km_executor *x, char out[64]);

/* Which process ids are meant: the number of /proc/self/ns/pid; 0: the machine's own. */
long km_driving_pids(void);

/* What a driver that is gone has left: leases of processes of this machine are released, runs
 * elsewhere become ours. Makes the runs. */
int km_driving_take_over(struct km_driving *d, km_err *err);

/* Ends what costs more than the budget has left, counted once a second. */
int km_driving_hold_budget(struct km_driving *d, km_err *err);

/* An ended run's word to the store; its slot is free then. */
int km_driving_settle(struct km_driving *d, km_run *run, km_err *err);

#endif
