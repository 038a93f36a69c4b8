/* lab/slurm_script.h: what a node runs. task.sh does one run, in its folder:
 *
 *     begun/id       Slurm's number of it: a second job for the same run ends at once
 *     cancelled      written by the driver: it shall not begin
 *     heartbeat      touched each ten seconds
 *     exit           the command's exit code and how many seconds it took; by rename, at its end
 *
 * array.sh, in the first run's folder, hands each task of an array to its task.sh. */
#ifndef KERNMILL_LAB_SLURM_SCRIPT_H
#define KERNMILL_LAB_SLURM_SCRIPT_H

#include "lab/executor.h"

int km_slurm_write_task(const km_executor *x, const km_run *run, km_err *err);

/* Of these, in this order. */
int km_slurm_write_array(km_run *const *runs, size_t count, km_err *err);

/* True: it ended, with this. */
bool km_slurm_read_exit(const km_run *run, int *code, double *seconds);

#endif
