#include "lab/reading.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "lab/champion.h"
#include "lab/worktree.h"

#define LOCK        "read.lock"
#define USERS       ".users"
#define FOLDERS_MAX 32 /* that are open at once on the way down */

bool km_reading_is(const char *kind)
{
    static const char *const kinds[] = { "research", "review", "plan", "report" };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

static const char *place(const km_workspace *w, const char *name)
{
    return km_arena_printf(&w->lab->arena, "%s/.lab/read%s%s", w->lab->root, *name ? "/" : "",
                           name);
}

/* --- permissions --- */

static int close_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)at;
    return what == FTW_SL ? 0 : chmod(path, st->st_mode & 07777 & ~0222u);
}

static int open_folder(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)at;
    return what == FTW_D ? chmod(path, (st->st_mode & 07777) | 0700) : 0;
}

/* The folder itself comes last: one that is closed is whole. */
static int close_tree(const char *tree, km_err *err)
{
    if (nftw(tree, close_one, FOLDERS_MAX, FTW_PHYS | FTW_DEPTH) != 0)
        return km_fail_errno(err, errno, "unable to make '%s' read-only", tree);
    return 0;
}

static bool is_whole(const char *tree)
{
    struct stat st;

    return lstat(tree, &st) == 0 && S_ISDIR(st.st_mode) && !(st.st_mode & 0222);
}

static int remove_tree(km_workspace *w, const char *tree, km_err *err)
{
    if (!km_dir_exists(tree))
        return 0;
    if (nftw(tree, open_folder, FOLDERS_MAX, FTW_PHYS) != 0)
        return km_fail_errno(err, errno, "unable to remove '%s'", tree);
    return km_worktree_remove(w, tree, err);
}

/* --- who looks at what --- */

static int add_user(km_workspace *w, const char *commit, const km_job *job, km_err *err)
{
    km_arena *a = &w->lab->arena;
    char *name = km_arena_printf(a, "%s%s", commit, USERS);
    const char *dir = name ? place(w, name) : NULL;
    char *path = dir ? km_arena_printf(a, "%s/%lld.%lld", dir, (long long)job->id,
                                       (long long)job->token)
                     : NULL;
    int rc = path ? km_dir_make(dir, err) : km_fail_nomem(err);

    return rc == 0 ? km_file_write(path, "", 0, 0644, err) : rc;
}

/* Forgets the leases that ended. *left: how many go on. */
static int count_users(km_workspace *w, const char *dir, int64_t *left, km_err *err)
{
    km_names names = { NULL, 0 };
    long long job, token;
    int64_t goes_on;
    int rc = km_dir_exists(dir) ? km_dir_list(&w->lab->arena, dir, &names, err) : 0;

    *left = 0;
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        char *path = km_path_join(&w->lab->arena, dir, names.names[i]);
        if (sscanf(names.names[i], "%lld.%lld", &job, &token) != 2)
            continue;
        rc = km_queue_holds(&w->lab->db, job, token, err);
        goes_on = rc > 0;
        *left += goes_on;
        if (rc == 0 && !goes_on)
            rc = path ? km_dir_remove(path, err) : km_fail_nomem(err);
        rc = rc < 0 ? rc : 0;
    }
    return rc;
}

static int sweep_one(km_workspace *w, const char *name, const char *champion, km_err *err)
{
    char *users = km_arena_printf(&w->lab->arena, "%s%s", name, USERS);
    const char *dir = users ? place(w, users) : NULL, *tree = place(w, name);
    int64_t left = 0;
    int rc = dir && tree ? count_users(w, dir, &left, err) : km_fail_nomem(err);

    if (rc < 0 || left || strcmp(name, champion) == 0)
        return rc;
    rc = remove_tree(w, tree, err);
    return rc == 0 ? km_dir_remove(dir, err) : rc;
}

/* Held. */
static int sweep(km_workspace *w, const char *champion, km_err *err)
{
    const char *dir = place(w, "");
    km_names names = { NULL, 0 };
    int rc = dir ? 0 : km_fail_nomem(err);

    if (rc == 0 && km_dir_exists(dir))
        rc = km_dir_list(&w->lab->arena, dir, &names, err);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        char *end = strchr(names.names[i], '.'); /* one's users, whose tree may be gone */
        if (end)
            *end = '\0';
        rc = sweep_one(w, names.names[i], champion, err);
    }
    return rc;
}

int km_reading_sweep(km_workspace *w, km_err *err)
{
    km_champion c;
    int rc = km_champion_read(w->lab, &c, err), held;

    if (rc <= 0)
        return rc;
    held = km_lab_hold(w->lab, LOCK, err);
    if (held < 0)
        return held;
    rc = sweep(w, c.commit, err);
    close(held);
    return rc;
}

/* --- a tree --- */

/* Held. */
static int make(km_workspace *w, const char *tree, const char *commit, km_err *err)
{
    int rc = is_whole(tree) ? 0 : remove_tree(w, tree, err);

    if (rc < 0 || is_whole(tree))
        return rc;
    rc = km_worktree_add(w, commit, tree, err);
    return rc == 0 ? close_tree(tree, err) : rc;
}

/* What a review looks at is the idea's commit, when it has one. */
static int find_commit(km_workspace *w, const km_job *job, const char *champion, const char **out,
                       km_err *err)
{
    km_idea idea = { .commit = "" };
    int rc = 0;

    if (strcmp(job->kind, "review") == 0 && job->hypothesis)
        rc = km_hypothesis_read(&w->lab->db, &w->lab->arena, job->hypothesis, &idea, err);
    *out = *idea.commit ? idea.commit : champion;
    return rc;
}

int km_reading_tree(km_workspace *w, const km_job *job, const char **path, km_err *err)
{
    const char *commit = NULL, *tree = NULL;
    km_champion c;
    int rc = km_champion_read(w->lab, &c, err), held;

    *path = NULL;
    if (rc <= 0)
        return rc;
    rc = find_commit(w, job, c.commit, &commit, err);
    if (rc < 0)
        return rc;
    held = km_lab_hold(w->lab, LOCK, err);
    if (held < 0)
        return held;
    tree = place(w, commit);
    rc = tree ? add_user(w, commit, job, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = make(w, tree, commit, err);
    if (rc == 0)
        rc = sweep(w, c.commit, err);
    close(held);
    if (rc < 0)
        return rc;
    *path = km_path_join(&w->lab->arena, tree, *w->prefix ? w->prefix : ".");
    return *path ? 0 : km_fail_nomem(err);
}
