/* lab/halving.h: successive halving: many ideas are measured a little, few of them much.
 *
 * When nothing waits and nothing runs, all that are undecided are brought to equally many pairs of
 * runs, the half with the smaller gains is rejected, and the rest is measured twice as often, up to
 * [evaluate] pairs_max. What the judge decides meanwhile is decided: it leaves the round. When it
 * is promoted, the others are put on the new champion, and begin anew there. K. Jamieson, A.
 * Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016.
 */
#ifndef KERNMILL_LAB_HALVING_H
#define KERNMILL_LAB_HALVING_H

#include "lab/workspace.h"

/* One step. *busy: something was asked for. *dropped: how many were rejected. */
int km_halving_step(km_workspace *w, bool *busy, int64_t *dropped, km_err *err);

#endif
