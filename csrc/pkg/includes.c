#include "pkg/includes.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/path.h"

static int add(km_arena *a, km_includes *list, const char *path, km_err *err)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->paths[i], path) == 0)
            return 0;
    if (list->count == KM_INCLUDES_MAX)
        return km_fail(err, KM_ELIMIT, "'%s' includes more than %d files", list->paths[0],
                       KM_INCLUDES_MAX);
    list->paths[list->count] = km_arena_strdup(a, path);
    return list->paths[list->count++] ? 0 : km_fail_nomem(err);
}

/* The name in an #include line and its delimiter, or NULL. */
static const char *name_of(const char *line, size_t length, size_t *name_length, bool *quoted)
{
    const char *end = line + length, *p = line, *close;

    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (p >= end || *p++ != '#')
        return NULL;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (end - p < 9 || memcmp(p, "include", 7) != 0)
        return NULL;
    p += 7;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (p >= end || (*p != '"' && *p != '<'))
        return NULL;
    *quoted = *p == '"';
    close = memchr(p + 1, *quoted ? '"' : '>', (size_t)(end - p - 1));
    if (!close)
        return NULL;
    *name_length = (size_t)(close - p - 1);
    return p + 1;
}

/* `path` without the detours in it, when that is the same file, so that headers which include each
 * other through ".." are met once and not under ever longer names. NULL: no file, or no memory. */
static const char *tidy(km_arena *a, const char *path)
{
    char *folded = path ? km_arena_strdup(a, path) : NULL;
    struct stat here, there;

    if (!folded || stat(path, &here) < 0 || !S_ISREG(here.st_mode))
        return NULL;
    km_path_fold(folded);
    if (stat(folded, &there) < 0 || there.st_dev != here.st_dev || there.st_ino != here.st_ino)
        return path;
    return folded;
}

static int resolve(km_arena *a, const char *includer, const char *name, bool quoted,
                   const char *const *dirs, km_includes *out, km_err *err)
{
    const char *path = quoted ? tidy(a, km_path_join(a, km_path_dir(a, includer), name)) : NULL;

    for (; !path && *dirs; dirs++)
        path = tidy(a, km_path_join(a, *dirs, name));
    return path ? add(a, out, path, err) : 0;
}

static int scan_one(km_arena *a, const char *path, const char *const *dirs, km_includes *out,
                    km_err *err)
{
    size_t size;
    char *text;

    if (km_file_read(a, path, KM_TEXT_BYTES_MAX, &text, &size, err) < 0)
        return KM_EIO;
    for (const char *line = text, *end = text + size; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = newline ? (size_t)(newline - line) : (size_t)(end - line), n;
        bool quoted;
        const char *name = name_of(line, length, &n, &quoted);
        if (name) {
            char *copy = km_arena_strndup(a, name, n);
            if (!copy)
                return km_fail_nomem(err);
            if (resolve(a, path, copy, quoted, dirs, out, err) < 0)
                return KM_ELIMIT;
        }
        line += length + 1;
    }
    return 0;
}

int km_includes_scan(km_arena *a, const char *source, const char *const *dirs, km_includes *out,
                     km_err *err)
{
    *out = (km_includes){ km_arena_array(a, KM_INCLUDES_MAX, sizeof *out->paths), 0 };
    if (!out->paths)
        return km_fail_nomem(err);
    if (add(a, out, source, err) < 0)
        return KM_ENOMEM;
    for (size_t i = 0; i < out->count; i++)
        if (scan_one(a, out->paths[i], dirs, out, err) < 0)
            return err ? err->code : KM_EIO;
    return 0;
}
