/* tests/fault/fault.c: the program's own calls that touch files, each one counted and any one of
 * them broken. Linked with -Wl,--wrap=..., so that the product has no layer for it.
 *
 *   KERNMILL_FAULT_KILL=N     the process is killed before the N-th call
 *   KERNMILL_FAULT_FAIL=N     the N-th call fails, with errno KERNMILL_FAULT_ERRNO (default ENOSPC)
 *   KERNMILL_FAULT_SHORT=B    read and write move B bytes at most
 *   KERNMILL_FAULT_LOG=FILE   a line a call: its number, its name, its path or descriptor
 *
 * What changes nothing is not counted: a folder that is there is not made, a file that is not there
 * is not removed. One process, one thread: kernmill has no other that touches files.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Begins the definition of what is called in place of `name`. */
#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

static long number_of(const char *variable)
{
    const char *text = getenv(variable);

    return text ? strtol(text, NULL, 10) : 0;
}

int __real_open(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *data, size_t size);

static void write_down(long count, const char *name, const char *what)
{
    const char *file = getenv("KERNMILL_FAULT_LOG");
    int fd = file ? __real_open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    char line[4200];
    int n = snprintf(line, sizeof line, "%ld %s %s\n", count, name, what);

    if (fd < 0)
        return;
    if (__real_write(fd, line, (size_t)n) < 0)
        abort();
    close(fd);
}

/* Whether this call is to fail; errno is set then. */
static bool strikes(const char *name, const char *what)
{
    static long count;
    long number;

    count++;
    write_down(count, name, what);
    if (count == number_of("KERNMILL_FAULT_KILL"))
        kill(getpid(), SIGKILL);
    if (count != number_of("KERNMILL_FAULT_FAIL"))
        return false;
    number = number_of("KERNMILL_FAULT_ERRNO");
    errno = number ? (int)number : ENOSPC;
    return true;
}

static bool strikes_fd(const char *name, int fd)
{
    char what[32];

    snprintf(what, sizeof what, "%d", fd);
    return strikes(name, what);
}

static size_t at_most(size_t size)
{
    size_t limit = (size_t)number_of("KERNMILL_FAULT_SHORT");

    return limit && size > limit ? limit : size;
}

static bool is_there(int folder, const char *path)
{
    struct stat st;

    return fstatat(folder, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static mode_t mode_of(int flags, va_list ap)
{
    return flags & O_CREAT ? va_arg(ap, mode_t) : 0;
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = mode_of(flags, ap);
    va_end(ap);
    return strikes("open", path) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = mode_of(flags, ap);
    va_end(ap);
    return strikes("openat", path) ? -1 : __real_openat(folder, path, flags, mode);
}

WRAP(ssize_t, read, int fd, void *data, size_t size)
{
    return strikes_fd("read", fd) ? -1 : __real_read(fd, data, at_most(size));
}

WRAP(ssize_t, pread, int fd, void *data, size_t size, off_t at)
{
    return strikes_fd("pread", fd) ? -1 : __real_pread(fd, data, at_most(size), at);
}

ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    return strikes_fd("write", fd) ? -1 : __real_write(fd, data, at_most(size));
}

WRAP(ssize_t, pwrite, int fd, const void *data, size_t size, off_t at)
{
    return strikes_fd("pwrite", fd) ? -1 : __real_pwrite(fd, data, at_most(size), at);
}

WRAP(int, fsync, int fd)
{
    return strikes_fd("fsync", fd) ? -1 : __real_fsync(fd);
}

WRAP(int, ftruncate, int fd, off_t size)
{
    return strikes_fd("ftruncate", fd) ? -1 : __real_ftruncate(fd, size);
}

WRAP(int, fchmod, int fd, mode_t mode)
{
    return strikes_fd("fchmod", fd) ? -1 : __real_fchmod(fd, mode);
}

WRAP(int, flock, int fd, int operation)
{
    return strikes_fd("flock", fd) ? -1 : __real_flock(fd, operation);
}

WRAP(int, rename, const char *from, const char *to)
{
    return strikes("rename", to) ? -1 : __real_rename(from, to);
}

WRAP(int, renameat2, int old, const char *from, int new, const char *to, unsigned flags)
{
    return strikes("renameat2", to) ? -1 : __real_renameat2(old, from, new, to, flags);
}

WRAP(int, symlink, const char *target, const char *path)
{
    return strikes("symlink", path) ? -1 : __real_symlink(target, path);
}

WRAP(int, mkdir, const char *path, mode_t mode)
{
    if (!is_there(AT_FDCWD, path) && strikes("mkdir", path))
        return -1;
    return __real_mkdir(path, mode);
}

WRAP(char *, mkdtemp, char *path)
{
    return strikes("mkdtemp", path) ? NULL : __real_mkdtemp(path);
}

WRAP(int, unlink, const char *path)
{
    if (is_there(AT_FDCWD, path) && strikes("unlink", path))
        return -1;
    return __real_unlink(path);
}

WRAP(int, unlinkat, int folder, const char *path, int flags)
{
    if (is_there(folder, path) && strikes("unlinkat", path))
        return -1;
    return __real_unlinkat(folder, path, flags);
}
