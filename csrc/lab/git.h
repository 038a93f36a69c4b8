/* lab/git.h: git, by its own program: the user's version, configuration and locks, but neither his
 * hooks nor his signing key, for nobody is there to type a pass phrase. What it makes is on the
 * disk when it returns, for the store, which names commits, is as well.
 *
 *     km_git g = { &arena, repository, NULL };
 *     rc = km_git_text(&g, &head, err, KM_GIT("rev-parse", "HEAD"));
 */
#ifndef KERNMILL_LAB_GIT_H
#define KERNMILL_LAB_GIT_H

#include "core/arena.h"
#include "core/err.h"

typedef struct {
    km_arena *arena;
    const char *dir;   /* where it runs */
    const char *index; /* another index file than the tree's; NULL: none */
} km_git;

#define KM_GIT(...)                                                                                \
    ((const char *const[]){ "git", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", \
                            "-c", "core.autocrlf=false", "-c", "core.quotePath=false", "-c",       \
                            "core.fsync=objects,reference", __VA_ARGS__, NULL })

/* Errors: KM_ECHILD with git's own words; KM_EENV when there is no git. */
int km_git_run(const km_git *g, km_err *err, const char *const *argv);

/* The same; *out is its output without the last newline, zeros as spaces, in the arena. */
int km_git_text(const km_git *g, char **out, km_err *err, const char *const *argv);

/* A list that git ends with zeros (-z). */
typedef struct {
    char **items; /* in the arena */
    size_t count;
} km_git_list;

int km_git_names(const km_git *g, km_git_list *out, km_err *err, const char *const *argv);

/* Makes `ref`, one of the lab's own, refer to `commit`. A lock that a git which was
 * killed has left there is removed once it is older than any of ours can be. */
int km_git_keep(const km_git *g, const char *ref, const char *commit, km_err *err);

/* 1: `ancestor` is `commit` or before it. */
int km_git_is_ancestor(const km_git *g, const char *ancestor, const char *commit, km_err *err);

#endif
