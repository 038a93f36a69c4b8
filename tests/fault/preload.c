/* tests/fault/preload.c: loaded before a program (LD_PRELOAD) and its children: the calls that
 * change what is on the disk, of all of them together, each one counted and any one of them broken.
 * fault.c does it to the program's own calls alone; this is for what libraries and other programs
 * do for it (SQLite, git).
 *
 *   KERNMILL_FAULT_KILL=N       the process that makes the N-th call is killed, and any that makes
 * one after it: as if the machine had stopped there KERNMILL_FAULT_FAIL=N       the N-th call
 * fails, with errno KERNMILL_FAULT_ERRNO (default EIO) KERNMILL_FAULT_COUNT=FILE   where they count
 * together: 8 bytes, zeros at first KERNMILL_FAULT_LOG=FILE     a line a call: its number, the
 * program, its name, its path KERNMILL_FAULT_NO_EXCHANGE  two folders cannot be exchanged at once,
 * as on some file systems
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static long number_of(const char *variable)
{
    const char *text = getenv(variable);

    return text ? strtol(text, NULL, 10) : 0;
}

static long next_number(void)
{
    static long alone;
    static long *count;
    const char *file = getenv("KERNMILL_FAULT_COUNT");

    if (!count) {
        int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
        void *page = fd < 0 ? MAP_FAILED
                            : mmap(NULL, sizeof alone, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        count = page == MAP_FAILED ? &alone : page;
        close(fd);
    }
    return __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
}

static void write_down(long number, const char *name, const char *what)
{
    const char *file = getenv("KERNMILL_FAULT_LOG");
    int fd = file ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    char line[4300];
    int n = snprintf(line, sizeof line, "%ld %s %s %s\n", number, program_invocation_short_name,
                     name, what);

    if (fd < 0)
        return;
    if (syscall(SYS_write, fd, line, (size_t)n) < 0)
        abort();
    close(fd);
}

/* Whether this call is to fail; errno is set then. */
static bool strikes(const char *name, const char *what)
{
    long number = next_number(), end = number_of("KERNMILL_FAULT_KILL");

    write_down(number, name, what);
    if (end && number >= end)
        kill(getpid(), SIGKILL);
    if (number != number_of("KERNMILL_FAULT_FAIL"))
        return false;
    number = number_of("KERNMILL_FAULT_ERRNO");
    errno = number ? (int)number : EIO;
    return true;
}

/* A pipe or a terminal is no disk. */
static bool strikes_fd(const char *name, int fd)
{
    char link[64], what[4096];
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, what, sizeof what - 1);
    what[n < 0 ? 0 : n] = '\0';
    return strikes(name, what);
}

/* Begins the definition of what is called in place of `name`. */
#define IN_PLACE_OF(type, name, ...)                                                               \
    type name(__VA_ARGS__);                                                                        \
    type name(__VA_ARGS__)

IN_PLACE_OF(ssize_t, write, int fd, const void *data, size_t size)
{
    return strikes_fd("write", fd) ? -1 : NEXT(write)(fd, data, size);
}

IN_PLACE_OF(ssize_t, pwrite, int fd, const void *data, size_t size, off_t at)
{
    return strikes_fd("pwrite", fd) ? -1 : NEXT(pwrite)(fd, data, size, at);
}

IN_PLACE_OF(ssize_t, pwrite64, int fd, const void *data, size_t size, off64_t at)
{
    return strikes_fd("pwrite", fd) ? -1 : NEXT(pwrite64)(fd, data, size, at);
}

IN_PLACE_OF(int, fsync, int fd)
{
    return strikes_fd("fsync", fd) ? -1 : NEXT(fsync)(fd);
}

IN_PLACE_OF(int, fdatasync, int fd)
{
    return strikes_fd("fdatasync", fd) ? -1 : NEXT(fdatasync)(fd);
}

IN_PLACE_OF(int, ftruncate, int fd, off_t size)
{
    return strikes_fd("ftruncate", fd) ? -1 : NEXT(ftruncate)(fd, size);
}

IN_PLACE_OF(int, ftruncate64, int fd, off64_t size)
{
    return strikes_fd("ftruncate", fd) ? -1 : NEXT(ftruncate64)(fd, size);
}

IN_PLACE_OF(int, mkdir, const char *path, mode_t mode)
{
    if (access(path, F_OK) < 0 && strikes("mkdir", path))
        return -1;
    return NEXT(mkdir)(path, mode);
}

IN_PLACE_OF(int, rmdir, const char *path)
{
    return strikes("rmdir", path) ? -1 : NEXT(rmdir)(path);
}

IN_PLACE_OF(int, rename, const char *from, const char *to)
{
    return strikes("rename", to) ? -1 : NEXT(rename)(from, to);
}

IN_PLACE_OF(int, renameat2, int old, const char *from, int new, const char *to, unsigned flags)
{
    if (strikes("renameat2", to))
        return -1;
    if (flags & RENAME_EXCHANGE && getenv("KERNMILL_FAULT_NO_EXCHANGE")) {
        errno = EINVAL;
        return -1;
    }
    return NEXT(renameat2)(old, from, new, to, flags);
}

IN_PLACE_OF(int, link, const char *from, const char *to)
{
    return strikes("link", to) ? -1 : NEXT(link)(from, to);
}

IN_PLACE_OF(int, symlink, const char *target, const char *path)
{
    return strikes("symlink", path) ? -1 : NEXT(symlink)(target, path);
}

IN_PLACE_OF(int, unlink, const char *path)
{
    if (access(path, F_OK) == 0 && strikes("unlink", path))
        return -1;
    return NEXT(unlink)(path);
}

IN_PLACE_OF(int, unlinkat, int folder, const char *path, int flags)
{
    return strikes("unlinkat", path) ? -1 : NEXT(unlinkat)(folder, path, flags);
}
