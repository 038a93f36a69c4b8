#include "core/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/file.h"
#include "core/str.h"

char *km_path_join(km_arena *a, const char *dir, const char *name)
{
    size_t n = strlen(dir);

    if (!n || name[0] == '/')
        return km_arena_strdup(a, name);
    return km_arena_printf(a, "%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

const char *km_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

char *km_path_dir(km_arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return km_arena_strdup(a, ".");
    return km_arena_strndup(a, path, slash == path ? 1 : (size_t)(slash - path));
}

const char *km_path_ext(const char *path)
{
    const char *base = km_path_base(path), *dot = strrchr(base, '.');

    return dot && dot != base ? dot : "";
}

char *km_path_stem(km_arena *a, const char *path)
{
    const char *base = km_path_base(path);

    return km_arena_strndup(a, base, strlen(base) - strlen(km_path_ext(path)));
}

void km_path_fold(char *path)
{
    char *floor = path + (*path == '/'), *out = floor, *in = floor;

    while (*in) {
        size_t n = strcspn(in, "/");
        bool up = n == 2 && in[0] == '.' && in[1] == '.';
        if (up && out > floor) {
            for (out--; out > floor && out[-1] != '/'; out--)
                ;
        } else if (n && !(n == 1 && in[0] == '.')) {
            memmove(out, in, n);
            out += n;
            if (in[n])
                *out++ = '/';
            if (up)
                floor = out; /* nothing takes a leading ".." back */
        }
        in += n + (in[n] == '/');
    }
    *out = '\0';
}

static int check_part(const char *part, size_t length, const char *name, km_err *err)
{
    if (!length)
        return km_fail(err, KM_EFORMAT, "path '%s' has an empty part", name);
    if (length > 255)
        return km_fail(err, KM_EFORMAT, "path '%.64s...' has a part longer than 255 bytes", name);
    if ((length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
        return km_fail(err, KM_EFORMAT, "path '%s' has a '%.*s' part", name, (int)length, part);
    return 0;
}

int km_path_check_relative(const char *name, km_err *err)
{
    const char *part = name;

    if (!name[0])
        return km_fail(err, KM_EFORMAT, "path is empty");
    if (name[0] == '/')
        return km_fail(err, KM_EFORMAT, "path '%s' is absolute", name);
    if (name[1] == ':')
        return km_fail(err, KM_EFORMAT, "path '%s' starts with a drive letter", name);
    for (const char *p = name;; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '\\')
            return km_fail(err, KM_EFORMAT, "path '%s' has a backslash (0x5c) in it", name);
        if (c && (c < 0x20 || c == 0x7f))
            return km_fail(err, KM_EFORMAT, "path '%s' has a byte 0x%02x in it", name, c);
        if (c && c != '/')
            continue;
        if (check_part(part, (size_t)(p - part), name, err) < 0)
            return KM_EFORMAT;
        if (!c)
            return 0;
        part = p + 1;
    }
}

int km_path_check_foreign(const char *name, km_err *err)
{
    size_t n;

    if (km_path_check_relative(name, err) < 0)
        return KM_EFORMAT;
    for (const char *p = name; *p; p++)
        if (km_text_deceives(p))
            return km_fail(err, KM_EFORMAT, "path '%s' has a character in it that is not shown",
                           name);
    for (const char *part = name; *part; part += n + (part[n] == '/')) {
        n = strcspn(part, "/");
        if (n == 4 && strncasecmp(part, ".git", n) == 0)
            return km_fail(err, KM_EFORMAT, "path '%s' has a '.git' part", name);
        if (part[n - 1] == '.' || part[n - 1] == ' ')
            return km_fail(err, KM_EFORMAT, "path '%s' has a part that ends in a dot or a blank",
                           name);
    }
    return 0;
}

int km_path_real(km_arena *a, const char *path, char **out, km_err *err)
{
    char *real = realpath(path, NULL);

    if (!real)
        return km_fail_errno(err, errno, "unable to find '%s'", path);
    *out = km_arena_strdup(a, real);
    free(real);
    return *out ? 0 : km_fail_nomem(err);
}

/* `path` made absolute when it is a program, else NULL. */
static char *as_program(km_arena *a, const char *path)
{
    char here[KM_PATH_BYTES_MAX];

    if (!path || !km_file_exists(path) || access(path, X_OK) != 0)
        return NULL;
    return path[0] == '/' || !getcwd(here, sizeof here) ? km_arena_strdup(a, path)
                                                        : km_path_join(a, here, path);
}

char *km_path_program(km_arena *a, const char *name)
{
    const char *path = getenv("PATH"), *end;

    if (strchr(name, '/'))
        return as_program(a, name);
    for (path = path ? path : "/usr/bin:/bin"; *path; path = *end ? end + 1 : end) {
        char *dir, *program;
        end = strchrnul(path, ':');
        dir = km_arena_strndup(a, path, (size_t)(end - path));
        program = dir ? as_program(a, km_path_join(a, dir, name)) : NULL;
        if (program)
            return program;
    }
    return NULL;
}
