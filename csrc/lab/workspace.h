/* lab/workspace.h: ideas as commits. Who works on an idea gets a git worktree of his own, at the
 * commit of the idea's parent (the champion, unless it names another):
 *
 *     .lab/worktrees/<hypothesis>.<job>.<token>/
 *
 * What lies there when the work is handed in becomes one commit on that parent, refs/lab/<id>; then
 * the worktree goes. Every commit that an idea ever was stays by a ref of its own
 * (refs/lab/<id>.<token>, of a rebase refs/lab/<id>.<the new parent>), whatever becomes of the
 * idea: no reset loses anything. A commit that changes a protected file, that scan.h knows, or that
 * another idea has made already, is kept too, and goes no further.
 */
#ifndef KERNMILL_LAB_WORKSPACE_H
#define KERNMILL_LAB_WORKSPACE_H

#include "core/hash.h"
#include "lab/git.h"
#include "lab/hypothesis.h"
#include "lab/judge.h"
#include "lab/lab.h"
#include "lab/settings.h"

typedef struct {
    km_lab *lab; /* borrowed; its arena holds what this has */
    km_lab_settings settings;
    km_git git;         /* in the repository's folder of lab.toml */
    const char *prefix; /* of that folder in its repository: "", "labs/rms/" */
} km_workspace;

/* 1; 0: the lab has no [workspace]. Errors: KM_EUSAGE when the folder is no git repository. */
int km_workspace_open(km_workspace *w, km_lab *lab, km_err *err);

/* Who works: the lease of a job. */
typedef struct {
    int64_t hypothesis, job, token;
} km_worker_id;

/* Makes the worktree of a lease, and says the idea's parent in the store. *path: the repository's
 * folder in it. */
int km_workspace_make(km_workspace *w, const km_worker_id *id, const char **path, km_err *err);

/* What was handed in. */
typedef struct {
    const char *state; /* NULL: to be measured; else "invalid" or "duplicate" */
    const char *reason;
    const char *parent, *commit;
    char patch[KM_SHA256_HEX_BYTES], manifest[KM_SHA256_HEX_BYTES];
} km_taken;

/* Takes what lies in the worktree, which stays: the store, which is only read here, may refuse what
 * was taken. */
int km_workspace_take(km_workspace *w, const km_worker_id *id, km_taken *out, km_err *err);

/* The end of the worktree of a lease. */
int km_workspace_drop(km_workspace *w, const km_worker_id *id, km_err *err);

/* Keeps what lies in the worktrees of leases that ended without a result, each as a commit under
 * its ref, and removes them. *count: how many. Those of evaluations that were killed go, too. One
 * that cannot be kept stays, and the others are swept all the same: the first error is returned. */
int km_workspace_sweep(km_workspace *w, int64_t *count, km_err *err);

/* Writes into the store what was taken, and asks for its measurement. In the caller's transaction.
 */
int km_workspace_record(km_workspace *w, int64_t hypothesis, const km_taken *t, km_err *err);

/* Puts an idea's change on the champion that there is now. *moved: its parent was another one. What
 * does not apply is worked on again, on the champion; the third time it is "stale". Old evidence
 * does not count for the new commit, and what measures the old one is cancelled. Ideas that are
 * worked on, or at their end, stay as they are. */
int km_workspace_rebase(km_workspace *w, int64_t hypothesis, bool *moved, km_err *err);

/* Asks for pairs of runs of an idea and its parent, unless such a job waits or runs. In the
 * caller's transaction. `kind`: "evaluate", or "holdout". */
int km_workspace_ask(km_workspace *w, const km_idea *idea, const char *kind, int64_t pairs,
                     km_err *err);

#endif
