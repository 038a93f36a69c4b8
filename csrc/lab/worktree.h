/* lab/worktree.h: the git worktrees of a lab, and what lies in one as a commit.
 *
 * Whoever works in a worktree may do anything to it, to its index and to its link to the
 * repository as well: nothing of that is believed. The repository is [workspace]'s, the index one
 * that is made for the purpose, so that a commit holds the files that lie there and nothing else.
 */
#ifndef KERNMILL_LAB_WORKTREE_H
#define KERNMILL_LAB_WORKTREE_H

#include <sys/types.h>
#include <time.h>

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

/* How a file was when git had written it. Its last change cannot be told to be another time, but by
 * who sets the machine's clock. */
typedef struct {
    ino_t inode;
    mode_t mode;
    off_t size_bytes;
    struct timespec modified, changed;
} km_file_stamp;

/* What a tree was made as, so that it can be made that again without a question to anything that
 * lies in it, or in git's folder for it. */
typedef struct {
    const char *path;         /* its absolute, resolved name */
    const char *repository;   /* git's folder */
    km_git_list files;        /* of the commit, sorted */
    km_file_stamp *stamps;    /* of each */
    const char *link, *index; /* what its .git holds, and git's index of it */
    size_t link_size, index_size;
} km_tree_image;

/* The image of a worktree that was just added, and that nobody has touched. It is written once
 * more. `scratch` is a folder outside of it; everything lives in the arena. */
int km_worktree_image(km_workspace *w, km_arena *a, const char *path, const char *commit,
                      const char *scratch, km_tree_image *out, km_err *err);

/* The tree is its commit again, and nothing else is there, whatever became of it: what is not the
 * commit's goes, nested repositories and what is ignored as well, and so does each file that was
 * changed; no link is followed. Then one call of git, if a file is missing. `a` is for names on the
 * way. Errors: KM_ELIMIT for folders nested beyond KM_DIR_DEPTH_MAX. */
int km_worktree_restore(km_arena *a, km_tree_image *t, const char *scratch, km_err *err);

#endif
