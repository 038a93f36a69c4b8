/* Loaded before a program (LD_PRELOAD): ends it at call number KM_END_AT of those that change a
 * folder, as a kill would; with KM_NO_EXCHANGE two folders cannot be exchanged at once, as on some
 * network file systems. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static void count(void)
{
    static long calls;
    const char *end_at = getenv("KM_END_AT");

    if (end_at && ++calls == atol(end_at))
        _exit(99);
}

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

int mkdir(const char *path, mode_t mode);
int rename(const char *from, const char *to);
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);

int mkdir(const char *path, mode_t mode)
{
    count();
    return NEXT(mkdir)(path, mode);
}

int rename(const char *from, const char *to)
{
    count();
    return NEXT(rename)(from, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    count();
    if (getenv("KM_NO_EXCHANGE")) {
        errno = EINVAL;
        return -1;
    }
    return NEXT(renameat2)(from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *path, int flags)
{
    count();
    return NEXT(unlinkat)(dir, path, flags);
}

int fsync(int fd)
{
    count();
    return NEXT(fsync)(fd);
}
