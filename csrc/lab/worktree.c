#include "lab/worktree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "lab/queue.h"

#define LOCK "git.lock" /* git's own bookkeeping of worktrees is one at a time */

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
    int held = km_lab_hold(w->lab, LOCK, err), rc;

    if (held < 0)
        return held;
    rc = km_dir_make(km_path_dir(&w->lab->arena, path), err);
    if (rc == 0)
        rc = drop(w, path, err);
    if (rc == 0)
        rc = km_git_run(&w->git, err, KM_GIT("worktree", "add", "-q", "--detach", path, commit));
    close(held);
    return rc;
}

int km_worktree_remove(km_workspace *w, const char *path, km_err *err)
{
    int held = km_lab_hold(w->lab, LOCK, err), rc;

    if (held < 0)
        return held;
    rc = drop(w, path, err);
    close(held);
    return rc;
}

/* 0: the tree is an evaluation's, .lab/runs/<job>/<token>/scratch/a, whose lease has ended; else
 * 1. */
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
    int held = km_lab_hold(w->lab, LOCK, err), rc;

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

/* --- an image --- */

#define LINK_BYTES_MAX  4096
#define INDEX_BYTES_MAX (1u << 30)

/* git's words for a tree, and its own index: nothing that the tree, or its entry in the repository,
 * could have been made to say. Of the repository's configuration, nothing that hides a change. */
#define AT(t, ...)                                                                                 \
    KM_GIT("-c", "core.trustctime=true", "-c", "core.checkStat=default", "-c",                     \
           "core.ignoreStat=false", "-c", "core.fileMode=true", "-c", "core.fsmonitor=false",      \
           "-c", "core.sparseCheckout=false", "-c", "core.splitIndex=false", "-c",                 \
           "core.bare=false", "--git-dir", (t)->repository, "--work-tree", (t)->path, __VA_ARGS__)

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_link(km_arena *a, km_tree_image *t, km_err *err)
{
    char *file = km_path_join(a, t->path, ".git"), *text = NULL;
    int rc = file ? km_file_read(a, file, LINK_BYTES_MAX, &text, &t->link_size, err)
                  : km_fail_nomem(err);

    t->link = text;
    return rc;
}

static int read_index(km_arena *a, km_tree_image *t, const char *index, km_err *err)
{
    char *data = NULL;
    int rc = km_file_read(a, index, INDEX_BYTES_MAX, &data, &t->index_size, err);

    t->index = data;
    return rc;
}

static void stamp(const struct stat *st, km_file_stamp *out)
{
    *out = (km_file_stamp){ st->st_ino, st->st_mode, st->st_size, st->st_mtim, st->st_ctim };
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_unchanged(const struct stat *st, const km_file_stamp *was)
{
    return !S_ISDIR(st->st_mode) && st->st_ino == was->inode && st->st_mode == was->mode &&
           st->st_size == was->size_bytes && same_time(&st->st_mtim, &was->modified) &&
           same_time(&st->st_ctim, &was->changed);
}

/* Of the files that are not `same`, or of all (NULL). */
static int stamp_files(km_arena *a, km_tree_image *t, const bool *same, km_err *err)
{
    struct stat st;

    for (size_t i = 0; i < t->files.count; i++) {
        char *path = same && same[i] ? NULL : km_path_join(a, t->path, t->files.items[i]);
        if (same && same[i])
            continue;
        if (!path)
            return km_fail_nomem(err);
        if (lstat(path, &st) < 0)
            return km_fail_errno(err, errno, "git has not written '%s'", path);
        stamp(&st, &t->stamps[i]);
    }
    return 0;
}

/* A new file, which need not outlive the machine's end: no flush. */
static int put(const char *path, const char *data, size_t size, km_err *err)
{
    int rc = km_dir_remove(path, err), fd;
    size_t done = 0;

    if (rc < 0)
        return rc;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    while (fd >= 0 && done < size) {
        ssize_t n = write(fd, data + done, size - done);
        if (n < 0 && errno != EINTR)
            break;
        done += n < 0 ? 0 : (size_t)n;
    }
    if (fd < 0 || done < size)
        rc = km_fail_errno(err, errno, "unable to write '%s'", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

int km_worktree_image(km_workspace *w, km_arena *a, const char *path, const char *commit,
                      const char *scratch, km_tree_image *out, km_err *err)
{
    char *repository = NULL, *index = km_path_join(a, scratch, "index");
    km_git g = { a, path, index };
    int rc = index
                 ? km_git_text(&w->git, &repository, err, KM_GIT("rev-parse", "--absolute-git-dir"))
                 : km_fail_nomem(err);

    *out = (km_tree_image){ .path = path, .repository = repository };
    if (rc == 0)
        rc = read_link(a, out, err);
    if (rc == 0)
        rc = km_git_run(&g, err, AT(out, "read-tree", commit));
    if (rc == 0)
        rc = km_git_run(&g, err, AT(out, "checkout-index", "-q", "-f", "-a", "-u"));
    if (rc == 0)
        rc = read_index(a, out, index, err);
    if (rc == 0)
        rc = km_git_names(&g, &out->files, err, AT(out, "ls-files", "-z"));
    if (index)
        unlink(index);
    if (rc < 0)
        return rc;
    qsort(out->files.items, out->files.count, sizeof *out->files.items, by_text);
    out->stamps = km_arena_array(a, out->files.count + 1, sizeof *out->stamps);
    return out->stamps ? stamp_files(a, out, NULL, err) : km_fail_nomem(err);
}

/* --- and the tree as it --- */

/* A folder of the tree that its commit has too: `prefix` is "" or "lib/", its files those from
 * `first` to `end`. */
struct folder {
    const km_tree_image *t;
    bool *same; /* of each file: it is there, as it was */
    int fd;
    const char *prefix;
    size_t first, end;
};

/* The first file whose name below the folder is not before `name`. */
static size_t lower(const struct folder *f, const char *name)
{
    size_t skip = strlen(f->prefix), low = f->first, high = f->end;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(f->t->files.items[middle] + skip, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Narrows *inner to the files of the folder `name`; *file: the one that is named so, or f->end. */
static void find(const struct folder *f, const char *name, struct folder *inner, size_t *file)
{
    size_t skip = strlen(f->prefix), n = strlen(name), i = lower(f, name);

    *file = f->end;
    inner->first = inner->end = 0;
    for (; i < f->end && strncmp(f->t->files.items[i] + skip, name, n) == 0; i++) {
        char next = f->t->files.items[i][skip + n];
        if (!next)
            *file = i;
        if (next == '/' && !inner->end)
            inner->first = i;
        if (next == '/')
            inner->end = i + 1;
    }
}

static int tidy(km_arena *a, const struct folder *f, km_err *err);

/* A folder that should be there. What is no folder goes; git makes it. */
static int tidy_inner(km_arena *a, const struct folder *f, const char *name, const char *path,
                      struct folder *inner, km_err *err)
{
    const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(f->fd, name, how), rc;

    if (fd < 0 && errno == EACCES && fchmodat(f->fd, name, 0755, 0) == 0)
        fd = openat(f->fd, name, how);
    if (fd < 0)
        return km_dir_remove(path, err);
    fchmod(fd, 0755);
    inner->t = f->t;
    inner->same = f->same;
    inner->fd = fd;
    inner->prefix = km_arena_printf(a, "%s%s/", f->prefix, name);
    rc = inner->prefix ? tidy(a, inner, err) : km_fail_nomem(err);
    close(fd);
    return rc;
}

static int tidy_entry(km_arena *a, const struct folder *f, const char *name, km_err *err)
{
    char *path = km_arena_printf(a, "%s/%s%s", f->t->path, f->prefix, name);
    struct folder inner;
    struct stat st;
    size_t file;

    if (!path)
        return km_fail_nomem(err);
    find(f, name, &inner, &file);
    if (inner.first < inner.end)
        return tidy_inner(a, f, name, path, &inner, err);
    if (file < f->end && fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        is_unchanged(&st, &f->t->stamps[file])) {
        f->same[file] = true;
        return 0;
    }
    return km_dir_remove(path, err);
}

static int tidy(km_arena *a, const struct folder *f, km_err *err)
{
    int rc = 0, fd = dup(f->fd);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d) {
        rc = km_fail_errno(err, errno, "unable to list '%s/%s'", f->t->path, f->prefix);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    rewinddir(d);
    while (rc == 0 && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = tidy_entry(a, f, e->d_name, err);
    closedir(d);
    return rc;
}

/* The folder itself, and no link to another: it is made when it is gone. Its own folder must be the
 * one that it was. */
static int open_tree(km_arena *a, const km_tree_image *t, km_err *err)
{
    char *above = km_path_dir(a, t->path), *real = NULL;
    int rc = above ? km_path_real(a, above, &real, err) : km_fail_nomem(err), fd;
    struct stat st;

    if (rc == 0 && strcmp(real, above) != 0)
        rc = km_fail(err, KM_EIO, "'%s' was moved", above);
    if (rc == 0 && lstat(t->path, &st) == 0 && !S_ISDIR(st.st_mode))
        rc = km_dir_remove(t->path, err);
    if (rc == 0)
        rc = km_dir_make(t->path, err);
    if (rc < 0)
        return rc;
    chmod(t->path, 0755);
    fd = open(t->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? km_fail_errno(err, errno, "unable to open '%s'", t->path) : fd;
}

/* What is missing. */
static int write_missing(km_arena *a, km_tree_image *t, const char *scratch, const bool *same,
                         km_err *err)
{
    char *index = km_path_join(a, scratch, "index");
    km_git g = { a, t->path, index };
    size_t i = 0;
    int rc = index ? 0 : km_fail_nomem(err);

    while (i < t->files.count && same[i])
        i++;
    if (rc < 0 || i == t->files.count)
        return rc;
    rc = put(index, t->index, t->index_size, err);
    if (rc == 0)
        rc = km_git_run(&g, err, AT(t, "checkout-index", "-q", "-f", "-a"));
    unlink(index);
    return rc == 0 ? stamp_files(a, t, same, err) : rc;
}

int km_worktree_restore(km_arena *a, km_tree_image *t, const char *scratch, km_err *err)
{
    char *link = km_path_join(a, t->path, ".git");
    bool *same = km_arena_array(a, t->files.count + 1, sizeof *same);
    struct folder top = { t, same, -1, "", 0, t->files.count };
    int rc = link && same ? open_tree(a, t, err) : km_fail_nomem(err);

    if (rc < 0)
        return rc;
    memset(same, 0, t->files.count * sizeof *same);
    top.fd = rc;
    rc = tidy(a, &top, err); /* .git too */
    close(top.fd);
    if (rc == 0)
        rc = put(link, t->link, t->link_size, err);
    return rc == 0 ? write_missing(a, t, scratch, same, err) : rc;
}
