/* lab/driver.h: who does the jobs: takes leases, has executors run the commands, hands in results.
 *
 * A job is taken with a lease, and gets a folder (lab/run.h). Its command runs where its executor
 * runs it (lab/executor.h). Heartbeats are ours. A run is killed at its time limit, and when its
 * lease is lost; then, and when it ends without a result or with another exit code than 0, the job
 * is given back. What a run cost is taken from the budget when it ends, however it does.
 *
 * A driver that was killed leaves leases behind. The next one releases those of this machine's
 * processes at once, for it sees that they are gone, and adopts those that run elsewhere: they go
 * on, and their results count. What another container's driver has it cannot see: it waits until
 * that lease ends, or ended if nobody were there.
 */
#ifndef KERNMILL_LAB_DRIVER_H
#define KERNMILL_LAB_DRIVER_H

#include "lab/executor.h"
#include "lab/team.h"

typedef struct {
    const km_run_kind *kinds; /* what is taken */
    size_t kind_count;
    km_executor *const *executors; /* of the kinds, each once */
    size_t executor_count;
    km_team *team;      /* that has something to do when nothing waits; NULL: none */
    int slots;          /* at once */
    int64_t lease_s;    /* 0: KM_LAB_LEASE_S */
    const char *folder; /* of the runs; NULL: the lab's own */
    bool wait;          /* go on when nothing waits and nothing runs, for what is still to come */

    /* What is done with a result: 1, or 0 when the job is another's; KM_EFORMAT, KM_EUSAGE,
     * KM_ELIMIT and KM_ECHILD are the worker's fault. NULL: km_apply. */
    int (*apply)(km_lab *lab, int64_t job, int64_t token, const char *body, km_err *err);

    /* What happens, as it happens: "job 7: done"; may be NULL. */
    void (*say)(void *context, const char *text);
    void *context;
} km_driver;

typedef struct {
    int64_t done, failed, lost; /* lost: another has the job */
} km_driver_result;

/* Until nothing waits and nothing runs, until the budget is spent (which is no error), or until
 * *stop is not 0: then what runs is ended, and given back; from 2 on without waiting for its end.
 * Errors: those of the store, and of an executor that cannot begin anything; runs elsewhere then go
 * on, for the next driver. */
int km_driver_run(km_lab *lab, const km_driver *options, const volatile int *stop,
                  km_driver_result *out, km_err *err);

#endif
