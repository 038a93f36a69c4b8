#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/path.h"
#include "core/str.h"

static int read_all(int fd, char *data, size_t size, const char *path, km_err *err)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = read(fd, data + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "unable to read '%s'", path);
        if (n == 0)
            return km_fail(err, KM_EIO, "'%s' became shorter while it was read", path);
        got += (size_t)n;
    }
    return 0;
}

static int write_all(int fd, const char *data, size_t size, const char *path, km_err *err)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "unable to write '%s'", path);
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

int km_file_open(const char *path, size_t limit_bytes, size_t *size, km_err *err)
{
    struct stat st;
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait */

    if (fd < 0)
        return km_fail_errno(err, errno, "unable to open '%s'", path);
    if (fstat(fd, &st) < 0)
        rc = km_fail_errno(err, errno, "unable to read '%s'", path);
    else if (!S_ISREG(st.st_mode))
        rc = km_fail(err, KM_EFORMAT, "'%s' is not a regular file", path);
    else if ((size_t)st.st_size > limit_bytes)
        rc = km_fail(err, KM_ELIMIT, "'%s' has %lld bytes; the limit is %zu", path,
                     (long long)st.st_size, limit_bytes);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *size = (size_t)st.st_size;
    return fd;
}

int km_file_read(km_arena *a, const char *path, size_t limit_bytes, char **data, size_t *size,
                 km_err *err)
{
    int rc, fd = km_file_open(path, limit_bytes, size, err);

    if (fd < 0)
        return fd;
    *data = km_arena_alloc(a, *size + 1);
    rc = *data ? read_all(fd, *data, *size, path, err) : km_fail_nomem(err);
    close(fd);
    return rc;
}

int km_file_map(const char *path, size_t limit_bytes, const void **data, size_t *size, km_err *err)
{
    int rc = 0, fd = km_file_open(path, limit_bytes, size, err);
    void *map;

    if (fd < 0)
        return fd;
    *data = "";
    if (*size) { /* nothing cannot be mapped */
        map = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            rc = km_fail_errno(err, errno, "unable to map '%s'", path);
        *data = map;
    }
    close(fd);
    return rc;
}

void km_file_unmap(const void *data, size_t size)
{
    if (size)
        munmap((void *)data, size);
}

/* Flushes the folder that holds `path`, so that a rename in it survives a crash. */
static int sync_folder(const char *path, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *dir = km_path_dir(&a, path);
    int rc = 0, fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd < 0 || fsync(fd) < 0)
        rc = km_fail_errno(err, errno, "unable to flush the folder of '%s'", path);
    if (fd >= 0)
        close(fd);
    km_arena_release(&a);
    return rc;
}

#define SUFFIX_BYTES 24 /* of ".tmp.<process>" */
#define NAME_BYTES   255

/* A name beside `path` that no other process uses; a long name is cut to make room. */
static int name_temporary(const char *path, char out[KM_PATH_BYTES_MAX], km_err *err)
{
    size_t n = strlen(path), base = strlen(km_path_base(path));

    if (base > NAME_BYTES - SUFFIX_BYTES && base <= NAME_BYTES)
        n -= base - (NAME_BYTES - SUFFIX_BYTES);
    if (n + SUFFIX_BYTES >= KM_PATH_BYTES_MAX)
        return km_fail(err, KM_ELIMIT, "path '%.64s...' is too long", path);
    snprintf(out, KM_PATH_BYTES_MAX, "%.*s.tmp.%ld", (int)n, path, (long)getpid());
    return 0;
}

/* As km_file_write; with `exact` the mode is not subject to umask. */
static int write_file(const char *path, const void *data, size_t size, mode_t mode, bool exact,
                      km_err *err)
{
    char temporary[KM_PATH_BYTES_MAX];
    int rc, fd;

    if (name_temporary(path, temporary, err) < 0)
        return KM_ELIMIT;
    unlink(temporary); /* of a process that was killed, or planted: never written through */
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return km_fail_errno(err, errno, "unable to create '%s'", path);
    rc = write_all(fd, data, size, path, err);
    if (rc == 0 && exact && fchmod(fd, mode) < 0)
        rc = km_fail_errno(err, errno, "unable to set the permissions of '%s'", path);
    if (rc == 0 && fsync(fd) < 0)
        rc = km_fail_errno(err, errno, "unable to flush '%s'", path);
    if (close(fd) < 0 && rc == 0)
        rc = km_fail_errno(err, errno, "unable to close '%s'", path);
    if (rc == 0 && rename(temporary, path) < 0)
        rc = km_fail_errno(err, errno, "unable to rename '%s' to '%s'", temporary, path);
    if (rc < 0) {
        unlink(temporary);
        return rc;
    }
    return sync_folder(path, err);
}

int km_file_write(const char *path, const void *data, size_t size, mode_t mode, km_err *err)
{
    return write_file(path, data, size, mode, false, err);
}

/* Whether the file ends inside a line: its writer was killed. */
static bool is_torn(int fd)
{
    struct stat st;
    char last;

    return fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 &&
           last != '\n';
}

int km_file_append_line(const char *path, const char *line, km_err *err)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666), rc;
    km_str text = KM_STR_INIT;

    if (fd < 0)
        return km_fail_errno(err, errno, "unable to open '%s'", path);
    km_str_printf(&text, "%s%s\n", is_torn(fd) ? "\n" : "", line);
    rc = km_str_check(&text, err);
    if (rc == 0)
        rc = write_all(fd, text.data, text.length, path, err);
    if (rc == 0 && fsync(fd) < 0)
        rc = km_fail_errno(err, errno, "unable to flush '%s'", path);
    if (close(fd) < 0 && rc == 0)
        rc = km_fail_errno(err, errno, "unable to close '%s'", path);
    km_str_release(&text);
    return rc;
}

int km_file_check_append(const char *path, km_err *err)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0)
        return km_fail_errno(err, errno, "unable to open '%s'", path);
    close(fd);
    return 0;
}

/* Whether the file is there and holds exactly these bytes. */
static bool holds(const char *path, const void *data, size_t size)
{
    km_arena a = KM_ARENA_INIT;
    size_t old_size = 0;
    char *old = NULL;
    bool same;

    same = km_file_size(path, NULL) == (long long)size &&
           km_file_read(&a, path, size, &old, &old_size, NULL) == 0 && old_size == size &&
           (!size || memcmp(old, data, size) == 0);
    km_arena_release(&a);
    return same;
}

int km_file_update(const char *path, const void *data, size_t size, mode_t mode, km_err *err)
{
    return holds(path, data, size) ? 0 : write_file(path, data, size, mode, false, err);
}

int km_file_copy(const char *from, const char *to, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    struct stat st = { 0 }, old;
    size_t size = 0;
    char *data = NULL;
    int rc;

    rc = km_file_read(&a, from, KM_FILE_BYTES_MAX, &data, &size, err);
    if (rc == 0 && stat(from, &st) < 0)
        rc = km_fail_errno(err, errno, "unable to read '%s'", from);
    if (rc == 0 &&
        (stat(to, &old) < 0 || ((st.st_mode ^ old.st_mode) & 0777) || !holds(to, data, size)))
        rc = write_file(to, data, size, st.st_mode & 0777, true, err);
    km_arena_release(&a);
    return rc;
}

bool km_file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool km_dir_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

long long km_file_size(const char *path, km_err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return km_fail_errno(err, errno, "unable to read '%s'", path);
    return (long long)st.st_size;
}

int km_file_fail(int fd, const char *verb, km_err *err)
{
    int code = errno;
    char link[32], name[KM_PATH_BYTES_MAX];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, name, sizeof name);
    if (n <= 0)
        return km_fail_errno(err, code, "unable to %s a file", verb);
    return km_fail_errno(err, code, "unable to %s '%.*s'", verb, (int)n, name);
}

int km_file_lock(const char *path, bool wait, km_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0)
        return km_fail_errno(err, errno, "unable to open '%s'", path);
    while (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) < 0) {
        int code = errno;
        if (code == EINTR)
            continue;
        close(fd);
        if (code == EWOULDBLOCK)
            return km_fail(err, KM_ETIME, "another process holds '%s'", path);
        return km_fail_errno(err, code, "unable to lock '%s'", path);
    }
    return fd;
}
