/* lab/executor.h: where a job's command runs: on this machine, under Slurm, as a Hugging Face Job.
 *
 * The driver (lab/driver.h) has the leases, an executor the processes. Each run has a folder
 * (lab/run.h), and goes
 *
 *     CLAIMED --start--> BEGUN --poll--> ENDED
 *
 * A remote executor's runs outlive this process. What it needs to find one again is in the store
 * before the run can be there: first an intent ("?7.2_0"), which whoever runs the job is told, too,
 * then its number there. A run that has an intent alone may have begun: start looks for it first.
 */
#ifndef KERNMILL_LAB_EXECUTOR_H
#define KERNMILL_LAB_EXECUTOR_H

#include <sys/types.h>

#include "core/limits.h"
#include "core/str.h"
#include "lab/lab.h"
#include "lab/settings.h"

typedef struct km_executor km_executor;

typedef struct {
    const char *kind;      /* of jobs; NULL: any */
    const char *command;   /* for sh -c */
    const char *prompt;    /* a file that comes before the job on standard input; NULL: none */
    int at_once;           /* of all drivers; 0: as many as there are slots */
    const char *beside;    /* another kind, whose jobs count as its own there; or NULL */
    int64_t limit_s;       /* of one job's time; 0: none */
    int64_t output_mb;     /* of its log; 0: [executor]'s */
    bool gpu;              /* it takes one, where they are counted */
    km_executor *executor; /* that does them */
} km_run_kind;

typedef enum { KM_RUN_FREE, KM_RUN_CLAIMED, KM_RUN_BEGUN, KM_RUN_ENDED } km_run_state;

typedef struct {
    int64_t job, token, hypothesis;
    char key[KM_LAB_NAME_BYTES_MAX + 1];
    const km_run_kind *kind;
    char dir[KM_PATH_BYTES_MAX], tree[KM_PATH_BYTES_MAX]; /* tree "": the lab's folder */
    const char *input; /* the file in `dir` that is its standard input */

    km_run_state state;
    char remote[128];             /* its number there, "?..." for an intent, "" */
    int64_t running_ms, ended_ms; /* seen to run, to have ended; km_clock_boot_ms; 0: not yet */
    const char *killed;           /* why, or NULL */
    bool told;                    /* of that, whoever runs it */
    double gpus, money_s;         /* what it has, and costs in a second, while it runs */

    /* at the end: */
    bool good;     /* exit code 0, and a result is worth looking for */
    bool excused;  /* the run is lost through no fault of the job's */
    char why[256]; /* it is not good */
    double gpu_seconds, money;

    /* the driver's */
    int64_t beat_ms;
    bool lost;    /* the job is another's */
    bool stopped; /* with the driver: no fault of the job's */

    /* the local executor's */
    pid_t pid; /* and the group's */
    int gpu;   /* which; -1: none */
} km_run;

struct km_executor {
    const char *name;
    bool remote;
    km_lab *lab;
    const km_lab_settings *settings;
    int gpus; /* so many jobs that need one run at once; 0: not counted */
    void (*say)(void *context, const char *text); /* may be NULL */
    void *context;

    /* Begins what it can; what stays CLAIMED is tried again. One that cannot begin, by its own
     * fault, is ENDED. Errors end the driver. */
    int (*start)(km_executor *x, km_run **runs, size_t count, km_err *err);
    /* Of runs that are BEGUN, which have ENDED. May do nothing when it did just before. */
    int (*poll)(km_executor *x, km_run **runs, size_t count, km_err *err);
    /* run->killed is set: it shall end, which poll will see. */
    void (*cancel)(km_executor *x, km_run *run);
    void (*free)(km_executor *x);
};

/* Each is for `free`. `settings` is borrowed. Errors: KM_EENV with what to install. */
int km_executor_local(km_lab *lab, const km_lab_settings *settings, km_executor **out, km_err *err);
int km_executor_slurm(km_lab *lab, const km_lab_settings *settings, km_executor **out, km_err *err);

/* One request to the Hub's API of Jobs, as csrc/lab knows no network. */
typedef struct {
    void *context;
    /* `path`: "/api/jobs/acme", or an address that *next gave. `body`: NULL for a GET. *status is
     * the answer's; the text of its error, when it is none of 200 to 299, is in *out. `stream`:
     * what came until it paused will do. */
    int (*call)(void *context, const char *method, const char *path, const char *body, bool stream,
                long *status, km_str *out, km_str *next, km_err *err);
    void (*free)(void *context);
} km_jobs_api;

/* `api` is copied, and freed with it. */
int km_executor_jobs(km_lab *lab, const km_lab_settings *settings, const km_jobs_api *api,
                     km_executor **out, km_err *err);

/* --- what they share --- */

/* Ends a run, for this reason. */
void km_executor_kill(km_executor *x, km_run *run, const char *why);

/* Kills it when its log is longer than its kind or [executor] allows. */
void km_executor_check_output(km_executor *x, km_run *run);

void km_executor_say(const km_executor *x, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Between two questions. */
int64_t km_executor_poll_ms(const km_executor *x);

/* A name for this store among all others, for names of jobs. A copy of a store has another: it must
 * not end what the first one runs. */
int km_executor_store_id(km_lab *lab, char out[32], km_err *err);

/* Notes where runs are, in one transaction. */
int km_executor_place(km_executor *x, km_run **runs, size_t count, km_err *err);

/* Quotes a text for the shell. */
void km_executor_quote(km_str *out, const char *text);

#endif
