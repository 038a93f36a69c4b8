/* lab/slurm.h: Slurm through its own programs: sbatch, squeue, scancel. sacct, which needs a
 * database beside Slurm, is not asked.
 *
 * Our jobs have one name, of the store, and a comment, which says what was submitted: the key of
 * the first run, "<job>.<token>". */
#ifndef KERNMILL_LAB_SLURM_H
#define KERNMILL_LAB_SLURM_H

#include "lab/settings.h"

typedef struct {
    char id[64];      /* "12", or "12_3" of an array */
    char state[32];   /* "PENDING" */
    char comment[96]; /* "(null)" when there is none */
} km_slurm_row;

typedef struct {
    km_slurm_row *rows; /* owned */
    size_t count;
} km_slurm_rows;

typedef struct {
    const char *name, *comment, *script;
    const char *array; /* "0,1,2"; NULL: none */
    int64_t limit_s;   /* 0: none */
} km_slurm_job;

typedef enum {
    KM_SLURM_WAITS,
    KM_SLURM_RUNS,
    KM_SLURM_ENDS, /* its processes are being ended */
    KM_SLURM_COMPLETED,
    KM_SLURM_FAILED, /* or killed at a limit, or by somebody */
    KM_SLURM_LOST,   /* through no fault of its own */
    KM_SLURM_UNKNOWN /* a state that we do not know: no sign of life */
} km_slurm_state;

km_slurm_state km_slurm_state_of(const char *state);

/* Whether all three programs are there. Errors: KM_EENV with what to do. */
int km_slurm_check(km_err *err);

/* *id: of the job, or of the array. *transient: it did not work, and may when tried again. Errors:
 * KM_EENV with what sbatch said. */
int km_slurm_submit(const km_lab_settings *settings, const km_slurm_job *job, char id[64],
                    bool *transient, km_err *err);

/* All jobs of that name that Slurm still knows, ended ones too; a row for each of an array. */
int km_slurm_list(const char *name, km_slurm_rows *out, km_err *err);
void km_slurm_rows_release(km_slurm_rows *rows);

int km_slurm_cancel(const char *const *ids, size_t count, km_err *err);

#endif
