/* lab/apply.h: what a result does: to a job of kind
 *
 *     "work"       of a lab with a [workspace]: the tree becomes the idea's commit, by
 *                  lab/workspace.h
 *     "evaluate"   its pairs become runs, and the idea is judged
 *     "holdout"    its pairs become a use of the holdout; of other commits than the idea has, of
 * none; what cannot be compared makes the idea "invalid" "research", "review", "plan" what
 * lab/team.h says
 *
 * Any other is kept, and changes nothing but its idea's state. "cost" of any is spent.
 */
#ifndef KERNMILL_LAB_APPLY_H
#define KERNMILL_LAB_APPLY_H

#include "lab/lab.h"

/* As km_queue_complete, and what follows from it, in the same transaction. 1, also when the same
 * was said before; 0: the job is another worker's: then nothing was changed. Errors: KM_EFORMAT for
 * a result that is none of its kind; KM_EUSAGE for an evaluation that does not name the idea's
 * commits. */
int km_apply(km_lab *lab, int64_t job, int64_t token, const char *body, km_err *err);

/* Spends what a result has cost that was refused, while its lease goes on. */
int km_apply_cost(km_lab *lab, int64_t job, int64_t token, const char *body, km_err *err);

#endif
