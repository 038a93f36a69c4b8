/* lab/run.h: the folder of a run, root/.lab/runs/<job>/<token>/ (with a folder
 * in lab.toml's [executor]: folder/runs/...), through which the driver and whoever runs the job
 * speak:
 *
 *     job.json       what `lab claim` prints; also the command's standard input
 *     report.json    what the lab knows, for roles that may run no program (lab/told.h)
 *     input          the role's prompt and the job, when there is a prompt: then it is that
 *     heartbeat      an empty file, touched while the job runs (not by a Hugging Face Job)
 *     output.log     both streams of the command
 *     result.json    the command's word: written under another name and renamed; or its output ends
 *                    with it (lab/answer.h)
 *
 * Commands begin in the lab's folder; an idea's "work" in its own git tree (lab/workspace.h), who
 * only reads in a closed one (lab/reading.h).
 */
#ifndef KERNMILL_LAB_RUN_H
#define KERNMILL_LAB_RUN_H

#include "lab/executor.h"
#include "lab/queue.h"

#define KM_RUN_PATH_BYTES (KM_PATH_BYTES_MAX + 32)

/* "<dir>/name" in `out`, which is returned. */
char *km_run_path(const km_run *run, const char *name, char out[KM_RUN_PATH_BYTES]);

/* Sets job, token, hypothesis, key and dir. Errors: KM_ELIMIT. */
int km_run_name(km_run *run, const km_lab *lab, const char *folder, const km_job *job, km_err *err);

/* Makes the folder and what is in it; the git tree of an idea's work, too. run->kind is set. */
int km_run_prepare(km_run *run, km_lab *lab, const char *folder, const km_job *job, km_err *err);

void km_run_beat(const km_run *run);

/* The result as JSON on one line, which the caller frees. Errors: KM_EFORMAT with what it left
 * instead. */
int km_run_result(const km_run *run, char **body, km_err *err);

/* Spends what a try has cost that gave nothing, as far as its output says so. */
void km_run_spend(km_lab *lab, const km_run *run);

#endif
