/* lab/team.h: what has to be done next, by whom. Each role is a kind of job, so that a role's work
 * is leased, limited, counted and logged as any other:
 *
 *     research    when few ideas are open: the result's "ideas" are proposed
 *     review      of a proposed idea: the result is its review
 *     plan        of the reviewed ideas: the result's "order" is queued, "drop" is cancelled
 *     work        of a queued idea: the tree is its commit
 *     evaluate, holdout
 *                 of a commit: pairs of runs
 *     report      after a promotion, and at the end
 *
 * A role whose job is dead, or was cancelled, is asked again by the next driver, not by this one;
 * so are a holdout, and a researcher who had nothing new twice. A planner is asked again when there
 * are other ideas, or an idea was decided.
 *
 * A role that nobody fills is done here: every idea is approved in that name, and queued at once,
 * by priority. Promotion is always done here, and halving (lab/halving.h), where [search] asks for
 * it.
 */
#ifndef KERNMILL_LAB_TEAM_H
#define KERNMILL_LAB_TEAM_H

#include <jansson.h>

#include "lab/lab.h"

typedef struct {
    bool researcher, planner, reviewer, reporter; /* whether somebody fills the role */
    int64_t open;                                 /* ideas that shall be open at once */
    bool spent; /* the budget: what was accepted is promoted, and nothing else begun */

    /* What happens: "hypothesis 7: promoted"; may be NULL. */
    void (*say)(void *context, const char *text);
    void *context;
    int64_t told;     /* ours: whom it was said of last, that he cannot be promoted */
    int64_t began_us; /* ours: of what was given up before, somebody may have mended the cause */
} km_team;

/* Does what the store asks for, and asks for what is next, each once. *busy: something changed, so
 * that there may be more. */
int km_team_step(km_lab *lab, km_team *team, bool *busy, km_err *err);

/* A role's result, in the caller's transaction. What it says of ideas that others have settled
 * meanwhile is passed over. 1: `kind` is a role's; 0: it is none. */
int km_team_apply(km_lab *lab, int64_t job, int64_t hypothesis, const char *kind,
                  const json_t *body, km_err *err);

#endif
