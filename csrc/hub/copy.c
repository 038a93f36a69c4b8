#include "hub/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"

#define COPY_BYTES (64u << 10)

static int copy_bytes(int in, int out, const char *to, km_err *err)
{
    char piece[COPY_BYTES];
    ssize_t n;

    while ((n = read(in, piece, sizeof piece)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        for (ssize_t done = 0, w; n > 0 && done < n; done += w) {
            w = write(out, piece + done, (size_t)(n - done));
            if (w < 0 && errno == EINTR)
                w = 0;
            if (w < 0)
                n = -1;
        }
        if (n < 0)
            return km_fail_errno(err, errno, "unable to copy to '%s'", to);
    }
    return fsync(out) < 0 ? km_fail_errno(err, errno, "unable to flush '%s'", to) : 0;
}

/* km_file_copy would hold a library of any size in memory. */
int km_copy_file(const char *from, const char *to, km_err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), rc;
    int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    rc = out < 0 ? km_fail_errno(err, errno, "unable to copy to '%s'", to)
                 : copy_bytes(in, out, to, err);
    if (out >= 0 && close(out) < 0 && rc == 0)
        rc = km_fail_errno(err, errno, "unable to close '%s'", to);
    if (in >= 0)
        close(in);
    return rc;
}

static int copy_all(km_arena *a, const char *folder, const km_copy *files, size_t count,
                    km_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        char *to = km_path_join(a, folder, files[i].name);
        if (!to)
            return km_fail_nomem(err);
        rc = km_dir_make(km_path_dir(a, to), err);
        if (rc == 0)
            rc = km_copy_file(files[i].from, to, err);
    }
    return rc;
}

/* Without slashes at its end, which would make the temporary name one inside it. */
static char *plain(km_arena *a, const char *output)
{
    char *text = km_arena_strdup(a, output);
    size_t n = text ? strlen(text) : 0;

    while (n > 1 && text[n - 1] == '/')
        text[--n] = '\0';
    return text;
}

int km_copy_out(km_arena *a, const char *output, const km_copy *files, size_t count,
                const char **path, km_err *err)
{
    char *to = plain(a, output);
    char *temporary = to ? km_arena_printf(a, "%s.tmp.%ld", to, (long)getpid()) : NULL;
    struct stat st;
    int rc;

    *path = to;
    if (!temporary)
        return km_fail_nomem(err);
    if (lstat(to, &st) == 0)
        return km_fail(err, KM_EUSAGE, "'%s' exists; what is copied becomes a new folder", to);
    rc = km_dir_remove(temporary, err);
    if (rc == 0)
        rc = km_dir_make(temporary, err);
    if (rc == 0)
        rc = copy_all(a, temporary, files, count, err);
    if (rc == 0 && rename(temporary, to) < 0)
        rc = km_fail_errno(err, errno, "unable to rename '%s' to '%s'", temporary, to);
    if (rc < 0)
        km_dir_remove(temporary, NULL);
    return rc;
}
