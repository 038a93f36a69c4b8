/* lab/champion.h: the commit that all ideas start from, and how another takes its place.
 *
 * The store says who is champion; the branch of lab.toml carries it, with its scores in a
 * commit of their own on top. The store decides first: a promotion names the champion that it
 * beat, and each champion has one successor, so that of two promotions at once one wins. What was
 * decided is kept by refs/lab/<id>.champion; refs/lab/champion and the branch follow, at once or by
 * the next command, and the branch never loses a commit of its own.
 */
#ifndef KERNMILL_LAB_CHAMPION_H
#define KERNMILL_LAB_CHAMPION_H

#include "lab/workspace.h"

typedef struct {
    int64_t id, hypothesis; /* 0: it is the baseline */
    const char *commit;     /* in the arena */
} km_champion;

/* 1; 0: there is none yet. In the caller's transaction when one is open. */
int km_champion_read(km_lab *lab, km_champion *out, km_err *err);

/* Makes the branch's commit the champion when there is none, or when the branch has commits that
 * people made on top of it: they changed what is measured, so that all starts from there. */
int km_champion_begin(km_workspace *w, km_err *err);

/* What is known of a champion: all its runs, as a candidate and as a parent, in the block where it
 * has the most. */
int km_champion_runs(km_lab *lab, const km_champion *c, km_lab_runs *out, const char **block,
                     km_err *err);

/* Asks for the holdout of an accepted idea, where [evaluate] has one and it was not looked at since
 * the idea was judged. *asked: a job waits, or runs. */
int km_champion_ask_holdout(km_workspace *w, int64_t hypothesis, bool *asked, km_err *err);

/* Promotes an accepted idea. Its parent must be the champion still, somebody must have approved it,
 * the protected files must be the champion's, and the last use of the holdout on it must have
 * passed when there is one. Errors: KM_EUSAGE saying what is missing; then nothing has changed. */
int km_champion_promote(km_workspace *w, int64_t hypothesis, km_err *err);

/* Whether the history still begins with the one that the champion's commit names in its
 * master.json: what was cut off at its end, or written anew, is not. Errors: KM_EFORMAT. */
int km_champion_check_history(km_workspace *w, km_err *err);

/* Brings refs/lab/champion and the branch to the champion; *late: why it could not, or NULL: then
 * the branch has commits, or the tree changes, of its own. */
int km_champion_settle(km_workspace *w, const char **late, km_err *err);

#endif
