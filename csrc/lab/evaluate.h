/* lab/evaluate.h: parent and candidate, measured in turns on this machine.
 *
 * A run of one of them, in a worktree of its commit with nothing else in it:
 *
 *     1. [evaluate] run, when there is one: the program that ideas change. It gets KERNMILL_SEED,
 *        and KERNMILL_OUT: an empty folder for what the evaluator shall see.
 *     2. The tree is made the commit again, whatever was done to it (lab/worktree.h); everything
 *        else in it, and beside it, goes.
 *     3. [evaluate] evaluate: reads KERNMILL_OUT, writes a JSON object into the file
 * KERNMILL_METRICS, whose name no command was told before: {"<metric>": a number, "<amount>": a
 * whole number}.
 *
 * [evaluate] build comes once for each of the two, before all runs; what it built may not be
 * changed by any command after it. Where [evaluate] pair measures both in one process and that
 * fails, it measures the parent twice: if that goes well, it was the candidate that ended it.
 *
 * Text that a program prints is never a metric. Both commands run through the shell in the
 * repository's folder; at the time limit, at its end and when we are killed, whatever a command
 * started is killed, in whatever group it is (core/keep.h, which says what that does not hold). The
 * protected files are hashed before the first run and after each command. Seeds are drawn by who
 * asked for the job, one for both runs of a pair; which of the two is first is drawn from it, and
 * the names of the folders do not say which is which. Time is taken here, from outside.
 *
 * Not held: what the evaluator itself loads of a candidate can do what the evaluator can, and what
 * a command writes elsewhere on the machine (/tmp, the home folder) is there for the next one.
 */
#ifndef KERNMILL_LAB_EVALUATE_H
#define KERNMILL_LAB_EVALUATE_H

#include <jansson.h>

#include "lab/workspace.h"

typedef struct {
    const char *parent, *candidate; /* commits */
    int64_t pairs;
    uint64_t seed;
    bool holdout; /* [evaluate] holdout instead of evaluate */
} km_evaluation;

/* {"parent", "candidate", "pairs", "seed", "holdout"}: the payload of an "evaluate" job. Errors:
 * KM_EFORMAT. */
int km_evaluation_read(const json_t *payload, km_evaluation *out, const char *name, km_err *err);

/* *out, a new reference, is the job's result: {"parent_commit", "candidate_commit", "holdout",
 * "pairs": [{"parent", "candidate", "seed", "block", "first", "amount": [parent, candidate],
 * "wall_ms": [...]}]} and, when the candidate ended it, "ended": {"state", "reason"}: "crashed",
 * "timed_out" or "invalid". Pairs before that stand. `scratch` is an empty folder, whose content
 * goes. Errors: KM_ECHILD when the parent fails: that is no fault of the idea. */
int km_evaluate(km_workspace *w, const km_evaluation *e, const char *scratch, json_t **out,
                km_err *err);

#endif
