/* lab/worktree.h: the git worktrees of a lab, and what lies in one as a commit.
 *
 * Whoever works in a worktree may do anything to it, to its index and to its link to the
 * repository as well: nothing of that is believed. The repository is [workspace]'s, the index one
 * that is made for the purpose, so that a commit holds the files that lie there and nothing else.
 */
#ifndef KERNMILL_LAB_WORKTREE_H
#define KERNMILL_LAB_WORKTREE_H

#include "lab/workspace.h"

/* A worktree of a commit at `path`, an absolute name; what a process that was killed left there
 * goes first. */
int km_worktree_add(km_workspace *w, const char *commit, const char *path, km_err *err);

/* Removes it, whatever it is by now. */
int km_worktree_remove(km_workspace *w, const char *path, km_err *err);

/* Removes those that an evaluation made whose lease has ended: who was killed did not. */
int km_worktree_sweep(km_workspace *w, km_err *err);

/* *out: the files of `path` as a commit on `parent`, that nothing refers to yet. What .gitignore
 * names is none of them, nor what Python compiled. */
int km_worktree_commit(km_workspace *w, const char *path, const char *parent, const char *message,
                       const char **out, km_err *err);

#endif
