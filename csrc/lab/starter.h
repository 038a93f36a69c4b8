/* lab/starter.h: a lab to start from: a folder of templates/lab with a lab.toml, as a git
 * repository of its own. */
#ifndef KERNMILL_LAB_STARTER_H
#define KERNMILL_LAB_STARTER_H

#include "core/arena.h"
#include "core/err.h"

/* Copies templates/lab/<name> to `dir`, which must be missing or empty, and makes a repository of
 * it, without a commit yet. A folder's lab-<word>.toml is the lab.toml of the lab <name>-<word>.
 * Errors: KM_EUSAGE naming the labs that there are; KM_EIO when `dir` has something in it. */
int km_starter_copy(km_arena *a, const char *templates, const char *name, const char *dir,
                    km_err *err);

/* The first commit, of all that is there. */
int km_starter_commit(km_arena *a, const char *name, const char *dir, km_err *err);

#endif
