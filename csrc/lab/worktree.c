#include "lab/worktree.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "lab/queue.h"

/* git's own bookkeeping of them is one at a time. */
static int hold(const km_workspace *w, km_err *err)
{
    char *path = km_arena_printf(&w->lab->arena, "%s/.lab/git.lock", w->lab->root);

    return path ? km_file_lock(path, true, err) : km_fail_nomem(err);
}

/* --- git's entry of one: <repository>/worktrees/<name>/, whose `gitdir` names the tree's .git ---
 */

#define MAKING_S 10 /* how long git may take to make an entry */

static bool has_text(km_arena *a, const char *entry, const char *name)
{
    char *path = km_path_join(a, entry, name);
    struct stat st;

    return path && lstat(path, &st) == 0 && st.st_size > 0;
}

static bool is_old(const char *entry)
{
    struct stat st;

    return lstat(entry, &st) == 0 && time(NULL) - st.st_mtime > MAKING_S;
}

/* The tree that an entry is of, or NULL. */
static char *tree_of(km_arena *a, const char *entry)
{
    char *file = km_path_join(a, entry, "gitdir"), *tree = NULL;
    size_t size;

    if (!file || km_file_read(a, file, PATH_MAX, &tree, &size, NULL) < 0)
        return NULL;
    tree[strcspn(tree, "\n")] = '\0';
    return km_path_dir(a, tree);
}

static int list(km_workspace *w, const char **dir, km_names *names, km_err *err)
{
    km_arena *a = &w->lab->arena;
    char *repository = NULL;
    int rc = km_git_text(&w->git, &repository, err,
                         KM_GIT("rev-parse", "--path-format=absolute", "--git-common-dir"));

    *names = (km_names){ NULL, 0 };
    if (rc < 0)
        return rc;
    *dir = km_path_join(a, repository, "worktrees");
    if (!*dir)
        return km_fail_nomem(err);
    return km_dir_exists(*dir) ? km_dir_list(a, *dir, names, err) : 0;
}

/* Whether it is the entry of `path`, or one whose making was cut off, which git worktree ends at.
 */
static bool is_over(const km_workspace *w, const char *entry, const char *path)
{
    km_arena *a = &w->lab->arena;
    char *tree = tree_of(a, entry), *ours = km_arena_printf(a, "%s/.lab/", w->lab->root);
    bool whole = has_text(a, entry, "HEAD") && has_text(a, entry, "commondir");

    if (!tree || !ours)
        return false;
    return strcmp(tree, path) == 0 || (!whole && (km_starts_with(tree, ours) || is_old(entry)));
}

/* Held. `git worktree prune` would forget the user's own as well that are not there at the moment.
 */
static int forget(km_workspace *w, const char *path, km_err *err)
{
    const char *dir = NULL;
    km_names names;
    int rc = list(w, &dir, &names, err);

    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        char *entry = km_path_join(&w->lab->arena, dir, names.names[i]);
        if (!entry)
            rc = km_fail_nomem(err);
        else if (is_over(w, entry, path))
            rc = km_dir_remove(entry, err);
    }
    return rc;
}

/* Held. */
static int drop(km_workspace *w, const char *path, km_err *err)
{
    int rc = km_dir_remove(path, err);

    return rc == 0 ? forget(w, path, err) : rc;
}

/* --- trees --- */

int km_worktree_add(km_workspace *w, const char *commit, const char *path, km_err *err)
{
    int held = hold(w, err), rc;

    if (held < 0)
        return held;
    rc = km_dir_make(km_path_dir(&w->lab->arena, path), err);
    if (rc == 0)
        rc = drop(w, path, err);
    if (rc == 0)
        rc = km_git_run(
            &w->git, err,
            KM_GIT("worktree", "add", "-q", "--force", "--force", "--detach", path, commit));
    close(held);
    return rc;
}

int km_worktree_remove(km_workspace *w, const char *path, km_err *err)
{
    int held = hold(w, err), rc;

    if (held < 0)
        return held;
    rc = drop(w, path, err);
    close(held);
    return rc;
}

/* Whether a tree is an evaluation's, .lab/runs/<job>/<token>/scratch/a, and its lease goes on: 1,
 * 0; also when it is no such tree. */
static int goes_on(km_workspace *w, const char *tree, km_err *err)
{
    char *runs = km_arena_printf(&w->lab->arena, "%s/.lab/runs/", w->lab->root);
    long long job, token;

    if (!runs)
        return km_fail_nomem(err);
    if (!tree || !km_starts_with(tree, runs) ||
        sscanf(tree + strlen(runs), "%lld/%lld/", &job, &token) != 2)
        return 1;
    return km_queue_holds(&w->lab->db, job, token, err);
}

int km_worktree_sweep(km_workspace *w, km_err *err)
{
    const char *dir = NULL;
    km_names names;
    int held = hold(w, err), rc;

    if (held < 0)
        return held;
    rc = list(w, &dir, &names, err);
    for (size_t i = 0; rc >= 0 && i < names.count; i++) {
        char *entry = km_path_join(&w->lab->arena, dir, names.names[i]);
        char *tree = entry ? tree_of(&w->lab->arena, entry) : NULL;
        rc = goes_on(w, tree, err);
        if (rc == 0)
            rc = drop(w, tree, err);
        if (rc == 0)
            rc = km_dir_remove(km_path_dir(&w->lab->arena, tree), err);
    }
    close(held);
    return rc < 0 ? rc : 0;
}

/* `at`: git in the worktree, with the index of its own. */
static int make_commit(const km_git *at, const char *repository, const char *parent,
                       const char *message, const char **out, km_err *err)
{
    char *files = NULL, *commit = NULL;
    int rc = km_git_run(at, err, KM_GIT("--git-dir", repository, "read-tree", parent));

    if (rc == 0)
        rc = km_git_run(at, err,
                        KM_GIT("--git-dir", repository, "--work-tree", at->dir, "add", "-A", "--",
                               ":/", ":(top,exclude,glob)**/__pycache__/**"));
    if (rc == 0)
        rc = km_git_text(at, &files, err, KM_GIT("--git-dir", repository, "write-tree"));
    if (rc == 0)
        rc = km_git_text(
            at, &commit, err,
            KM_GIT("--git-dir", repository, "commit-tree", files, "-p", parent, "-m", message));
    *out = commit;
    return rc;
}

int km_worktree_commit(km_workspace *w, const char *path, const char *parent, const char *message,
                       const char **out, km_err *err)
{
    km_arena *a = &w->lab->arena;
    char *repository = NULL, *scratch = NULL;
    km_git at = { a, path, NULL };
    int rc = km_git_text(&w->git, &repository, err, KM_GIT("rev-parse", "--absolute-git-dir"));

    *out = NULL;
    if (rc == 0)
        rc = km_dir_temporary(a, "index", &scratch, err);
    if (rc < 0)
        return rc;
    at.index = km_path_join(a, scratch, "index");
    rc = at.index ? make_commit(&at, repository, parent, message, out, err) : km_fail_nomem(err);
    km_dir_remove(scratch, NULL);
    return rc;
}
