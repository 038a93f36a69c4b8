/* lab/local.h: jobs on this machine: N at once, each a command of the worker's own.
 *
 * A job is taken with a lease, and gets a folder root/.lab/runs/<job>/<token>/ with
 *
 *     job.json       what `lab claim` prints; also the command's standard input
 *     report.json    what the lab knows, for roles that may run no program (lab/told.h)
 *     input          the role's prompt and the job, when there is a prompt: then it is that
 *     output.log     both its streams
 *     result.json    the command's word: written under another name and renamed; or its output ends
 *                    with it (lab/answer.h)
 *
 * It runs through the shell, in the lab's folder, or an idea's "work" in its own git tree
 * (lab/workspace.h), or who only reads in a closed one (lab/reading.h), and in a process group of
 * its own. The shell dies with this process, what
 * it started may not when this one is killed. Heartbeats are ours. It is killed, group and all, at
 * its limits of time and output, and when its lease is lost; then, and when it ends without a
 * result or with another exit code than 0, the job is given back. A driver that was killed leaves
 * leases behind: the next one releases those at once, for it sees that their process is gone.
 */
#ifndef KERNMILL_LAB_LOCAL_H
#define KERNMILL_LAB_LOCAL_H

#include "lab/lab.h"
#include "lab/team.h"

typedef struct {
    const char *kind;    /* of jobs; NULL: any */
    const char *command; /* for sh -c */
    const char *prompt;  /* a file that comes before the job on standard input; NULL: none */
    int at_once;         /* 0: as many as there are slots */
    int64_t limit_s;     /* of one job's time; 0: none */
    int64_t output_mb;   /* of what it prints; 0: none */
} km_local_kind;

typedef struct {
    const km_local_kind *kinds; /* what is taken */
    size_t kind_count;
    km_team *team;   /* that has something to do when nothing waits; NULL: none */
    int slots;       /* at once */
    int64_t lease_s; /* 0: KM_LAB_LEASE_S */
    bool wait;       /* go on when nothing waits and nothing runs, for what is still to come */

    /* What happens, as it happens: "job 7: done"; may be NULL. */
    void (*say)(void *context, const char *text);
    void *context;
} km_local;

typedef struct {
    int64_t done, failed, lost; /* lost: another has the job */
} km_local_result;

/* Until nothing waits and nothing runs, until the budget is spent (which is no error), or until
 * *stop is not 0: then what runs is given back. Errors: those of the store. */
int km_local_run(km_lab *lab, const km_local *options, const volatile int *stop,
                 km_local_result *out, km_err *err);

#endif
