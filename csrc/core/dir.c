/* Folders: the second half of core/file.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"

int km_dir_make(const char *path, km_err *err)
{
    char part[KM_PATH_BYTES_MAX];
    size_t n = strlen(path);

    if (!n)
        return km_fail(err, KM_EUSAGE, "the name of a folder is empty");
    if (n >= sizeof part)
        return km_fail(err, KM_ELIMIT, "path '%.64s...' is too long", path);
    if (km_dir_exists(path)) /* as for all files of a folder but the first */
        return 0;
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            return km_fail_errno(err, errno, "unable to make the folder '%s'", part);
    }
    if (!km_dir_exists(path))
        return km_fail(err, KM_EIO, "'%s' is there and is not a folder", path);
    return 0;
}

int km_dir_temporary(km_arena *a, const char *name, char **path, km_err *err)
{
    const char *base = getenv("TMPDIR");

    *path = km_arena_printf(a, "%s/kernmill-%s-XXXXXX", base && *base ? base : "/tmp", name);
    if (!*path)
        return km_fail_nomem(err);
    return mkdtemp(*path) ? 0 : km_fail_errno(err, errno, "unable to make '%s'", *path);
}

/* A folder of ours may be closed to us by its mode; what is in it goes nevertheless. */
static int open_to_empty(int parent, const char *name)
{
    const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, how);

    if (fd < 0 && errno == EACCES && fchmodat(parent, name, S_IRWXU, 0) == 0)
        fd = openat(parent, name, how);
    if (fd >= 0)
        fchmod(fd, S_IRWXU);
    return fd;
}

static int remove_below(int parent, const char *name, const char *shown, unsigned depth,
                        km_err *err)
{
    int fd, rc = 0;
    struct dirent *e;
    DIR *d;

    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return km_fail_errno(err, errno, "unable to remove '%s'", shown);
    if (depth > KM_DIR_DEPTH_MAX)
        return km_fail(err, KM_ELIMIT, "'%s' is nested deeper than %d folders", shown,
                       KM_DIR_DEPTH_MAX);
    fd = open_to_empty(parent, name);
    d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        rc = km_fail_errno(err, errno, "unable to open '%s'", shown);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = remove_below(fd, e->d_name, shown, depth + 1, err);
    closedir(d);
    if (rc == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0)
        rc = km_fail_errno(err, errno, "unable to remove '%s'", shown);
    return rc;
}

int km_dir_remove(const char *path, km_err *err)
{
    return remove_below(AT_FDCWD, path, path, 0, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A list that grows by doubling inside the arena. */
static int push(km_arena *a, km_names *list, size_t *capacity, char *name, km_err *err)
{
    if (list->count >= KM_DIR_ENTRIES_MAX)
        return km_fail(err, KM_ELIMIT, "more than %d files", KM_DIR_ENTRIES_MAX);
    if (list->count == *capacity) {
        size_t bigger = *capacity ? *capacity * 2 : 64;
        char **names = km_arena_array(a, bigger, sizeof *names);
        if (!names)
            return km_fail_nomem(err);
        if (list->count)
            memcpy(names, list->names, list->count * sizeof *names);
        list->names = names;
        *capacity = bigger;
    }
    if (!name)
        return km_fail_nomem(err);
    list->names[list->count++] = name;
    return 0;
}

int km_dir_list(km_arena *a, const char *path, km_names *out, km_err *err)
{
    size_t capacity = 0;
    DIR *d = opendir(path);
    struct dirent *e;
    int rc = 0;

    *out = (km_names){ NULL, 0 };
    if (!d)
        return km_fail_errno(err, errno, "unable to open the folder '%s'", path);
    while (rc == 0 && (errno = 0, e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = push(a, out, &capacity, km_arena_strdup(a, e->d_name), err);
    if (rc == 0 && errno)
        rc = km_fail_errno(err, errno, "unable to read the folder '%s'", path);
    closedir(d);
    if (rc == 0 && out->count)
        qsort(out->names, out->count, sizeof *out->names, by_name);
    return rc;
}

/* With `any`, whatever is no folder is a name of the list. */
static int walk(km_arena *a, const char *root, const char *below, bool any, unsigned depth,
                km_names *out, size_t *capacity, km_err *err)
{
    const char *dir = *below ? km_path_join(a, root, below) : root;
    km_names here;

    if (!dir)
        return km_fail_nomem(err);
    if (depth > KM_DIR_DEPTH_MAX)
        return km_fail(err, KM_ELIMIT, "'%s' is nested deeper than %d folders", root,
                       KM_DIR_DEPTH_MAX);
    if (km_dir_list(a, dir, &here, err) < 0)
        return err ? err->code : KM_EIO;
    for (size_t i = 0; i < here.count; i++) {
        char *name = *below ? km_path_join(a, below, here.names[i]) : here.names[i];
        char *full = name ? km_path_join(a, root, name) : NULL;
        struct stat st;
        int rc;
        if (!full)
            return km_fail_nomem(err);
        if (lstat(full, &st) < 0)
            return km_fail_errno(err, errno, "unable to read '%s'", full);
        if (S_ISLNK(st.st_mode) && !any)
            return km_fail(err, KM_EFORMAT, "'%s' is a symbolic link", full);
        if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !any)
            return km_fail(err, KM_EFORMAT, "'%s' is not a regular file", full);
        rc = S_ISDIR(st.st_mode) ? walk(a, root, name, any, depth + 1, out, capacity, err)
                                 : push(a, out, capacity, name, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int walk_sorted(km_arena *a, const char *path, bool any, km_names *out, km_err *err)
{
    size_t capacity = 0;
    int rc;

    *out = (km_names){ NULL, 0 };
    rc = walk(a, path, "", any, 0, out, &capacity, err);
    if (rc == 0 && out->count)
        qsort(out->names, out->count, sizeof *out->names, by_name);
    return rc;
}

int km_dir_walk(km_arena *a, const char *path, km_names *out, km_err *err)
{
    return walk_sorted(a, path, false, out, err);
}

int km_dir_walk_any(km_arena *a, const char *path, km_names *out, km_err *err)
{
    return walk_sorted(a, path, true, out, err);
}
