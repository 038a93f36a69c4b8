/* lab/jobs.h: a job of ours on Hugging Face Jobs: what is asked for, and what its log says.
 *
 * Nothing is shared with the machine that runs it but what [executor] volumes mounts: the job comes
 * in its environment, as base64, and the result goes by its log, on lines that begin with a nonce:
 *
 *     <nonce> <base64>          of result.json
 *     <nonce> end <code> <n>    the exit code, and how many bytes result.json had (0: none)
 *
 * The nonce is a secret of the job, taken out of the environment before the command begins: what
 * the command prints cannot be taken for its result, nor a log that was cut for a whole one.
 */
#ifndef KERNMILL_LAB_JOBS_H
#define KERNMILL_LAB_JOBS_H

#include <jansson.h>

#include "lab/executor.h"

#define KM_JOBS_RUN_LABEL "kernmill_run" /* "7.2": of a run */
#define KM_JOBS_LAB_LABEL "kernmill_lab" /* the store */

typedef struct {
    double money_s; /* US dollars a second */
    double gpus;
} km_jobs_flavor;

/* Of /api/jobs/hardware. Errors: KM_EUSAGE naming the flavors there are; KM_EFORMAT for a price by
 * a unit of time that we do not know. */
int km_jobs_read_flavor(const json_t *hardware, const char *name, km_jobs_flavor *out, km_err *err);

/* The volumes of [executor] as the API has them. New reference in *out. Errors: KM_EFORMAT. */
int km_jobs_read_volumes(const km_list *volumes, json_t **out, km_err *err);

/* "90m" in seconds; 0: it is none. */
int64_t km_jobs_read_time(const char *text);

/* autolab's value of a label: at most 48 of a-z, 0-9 and _. */
void km_jobs_slug(const char *text, char out[49]);

/* The body of the request. New reference. Errors: KM_EENV for a secret that is not there, KM_ELIMIT
 * for a job too long for an environment. */
int km_jobs_spec(const km_executor *x, const km_run *run, const char *store, const json_t *volumes,
                 json_t **out, km_err *err);

typedef struct {
    km_str output,
        result; /* owned: what the command printed; the bytes of its result.json, or none */
    int code;
    bool ended, whole; /* the end was there; and all of the result */
} km_jobs_log;

/* Takes a stream of events apart. What is no event counts for nothing. Errors: KM_ELIMIT,
 * KM_ENOMEM; *out is for the release all the same. */
int km_jobs_parse_log(const char *nonce, const char *events, km_jobs_log *out, km_err *err);
void km_jobs_log_release(km_jobs_log *log);

/* The same for a run whose nonce is in its folder, into it: output.log and result.json in the run's
 * folder. *code: of the end. 1, or 0 when there is no end, or the result is not whole. */
int km_jobs_read_log(const km_run *run, const char *events, int *code, km_err *err);

#endif
