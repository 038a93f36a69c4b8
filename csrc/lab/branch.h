/* lab/branch.h: the branch that carries the champion, for people to see. */
#ifndef KERNMILL_LAB_BRANCH_H
#define KERNMILL_LAB_BRANCH_H

#include "lab/workspace.h"

/* lab.toml's, or the one that the lab was made on; without either, the one that is checked out.
 * Errors: KM_EUSAGE when there is none. */
int km_branch_find(km_workspace *w, const char **name, km_err *err);

/* *commit: where it is. Errors: KM_EUSAGE when it has no commit. */
int km_branch_tip(km_workspace *w, const char *name, const char **commit, km_err *err);

/* Moves it forward, and the files of the tree that has it checked out. What is not committed there
 * is not touched: then KM_ECHILD with git's own words, and nothing has moved. What an advance that
 * was cut off left behind is no such thing: it is finished. */
int km_branch_advance(km_workspace *w, const char *name, const char *from, const char *to,
                      km_err *err);

#endif
