#include "pkg/wheel_record.h"

#include <stdlib.h>
#include <string.h>

/* Takes the path off a line, its quotes removed, in place. NULL when no comma ends it. */
static char *split_line(char *line, const char **rest)
{
    char *in = line, *out = line;
    bool quoted = *line == '"';

    for (in += quoted; *in && (quoted || *in != ','); in++) {
        if (quoted && *in == '"' && *++in != '"')
            break;
        *out++ = *in;
    }
    if (*in != ',')
        return NULL;
    *out = '\0';
    *rest = in + 1;
    return line;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const km_record_line *)a)->path, ((const km_record_line *)b)->path);
}

int km_wheel_record_read(km_arena *a, const char *data, size_t size, km_wheel_record *out,
                         km_err *err)
{
    char *text = km_arena_strndup(a, data, size), *end;
    size_t most = 1;

    for (char *c = text; c && *c; c++)
        most += *c == '\n';
    *out = (km_wheel_record){ 0 };
    out->lines = text ? km_arena_array(a, most, sizeof *out->lines) : NULL;
    out->broken = text ? km_arena_array(a, most, sizeof *out->broken) : NULL;
    if (!out->lines || !out->broken)
        return km_fail_nomem(err);
    for (char *line = text; *line; line = end) {
        km_record_line *next = &out->lines[out->count];
        size_t n = strcspn(line, "\n");
        end = line + n + (line[n] == '\n');
        if (n && line[n - 1] == '\r')
            n--;
        line[n] = '\0';
        next->path = n ? split_line(line, &next->rest) : NULL;
        if (next->path)
            out->count++;
        else if (n)
            out->broken[out->broken_count++] = line;
    }
    if (out->count)
        qsort(out->lines, out->count, sizeof *out->lines, by_path);
    return 0;
}

km_record_line *km_wheel_record_find(const km_wheel_record *r, const char *path)
{
    const km_record_line key = { .path = path };

    return r->count ? bsearch(&key, r->lines, r->count, sizeof key, by_path) : NULL;
}
