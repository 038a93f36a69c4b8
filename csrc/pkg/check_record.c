/* A wheel's RECORD, by the rules of the wheel specification: one line "path,sha256=hash,size" for
 * each member, "path,," for RECORD itself; a path with a comma or a quote stands in quotes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/str.h"
#include "pkg/check_internal.h"

struct line {
    const char *path;
    const char *rest; /* "sha256=...,123" */
    bool met;         /* a member has that path */
};

struct record {
    struct line *lines; /* sorted by path */
    size_t count;
};

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
    return strcmp(((const struct line *)a)->path, ((const struct line *)b)->path);
}

static int read_record(km_findings *f, const char *name, const km_zip_entry *e, struct record *out,
                       km_err *err)
{
    char *text = km_arena_strndup(&f->arena, (const char *)e->data, e->size), *end;
    size_t most = 1;

    for (char *c = text; c && *c; c++)
        most += *c == '\n';
    out->count = 0;
    out->lines = text ? km_arena_array(&f->arena, most, sizeof *out->lines) : NULL;
    if (!out->lines)
        return km_fail_nomem(err);
    for (char *line = text; *line; line = end) {
        struct line *next = &out->lines[out->count];
        size_t n = strcspn(line, "\n");
        end = line + n + (line[n] == '\n');
        if (n && line[n - 1] == '\r')
            n--;
        line[n] = '\0';
        next->path = n ? split_line(line, &next->rest) : NULL;
        if (next->path)
            out->count++;
        else if (n && km_check_add(f, "record-line", name, err,
                                   "RECORD has a line without a path:", line) < 0)
            return KM_ELIMIT;
    }
    if (out->count)
        qsort(out->lines, out->count, sizeof *out->lines, by_path);
    return 0;
}

/* Whether the line of a member is there and right. */
static int check_member(km_findings *f, const char *name, const km_zip_entry *e, bool is_record,
                        const struct record *record, km_err *err)
{
    const struct line key = { .path = e->name };
    struct line *line = record->count
                            ? bsearch(&key, record->lines, record->count, sizeof key, by_path)
                            : NULL;
    char base64[KM_SHA256_BASE64_BYTES], want[100] = ",";
    km_sha256 hash;

    if (!line)
        return km_check_add(f, "record-missing", name, err, "RECORD does not list", e->name);
    line->met = true;
    if (!is_record) {
        if (km_hash_bytes(e->data, e->size, &hash, err) < 0)
            return KM_EBUG;
        km_hash_base64url(&hash, base64);
        snprintf(want, sizeof want, "sha256=%s,%zu", base64, e->size);
    }
    if (strcmp(line->rest, want) == 0)
        return 0;
    return km_check_add(f, "record-mismatch", name, err, "RECORD has another hash or size for",
                        e->name);
}

/* The lines that belong to no member, or to one that has a line already. */
static int check_lines(km_findings *f, const char *name, const struct record *record, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->count; i++) {
        const struct line *line = &record->lines[i];
        if (i && strcmp(line->path, line[-1].path) == 0)
            rc = km_check_add(f, "record-twice", name, err, "RECORD lists twice:", line->path);
        else if (!line->met && !(i + 1 < record->count && strcmp(line->path, line[1].path) == 0))
            rc = km_check_add(f, "record-absent", name, err,
                              "RECORD lists what is not there:", line->path);
    }
    return rc;
}

int km_check_record(km_findings *f, const char *name, const km_zip *zip, const char *dist_info,
                    km_err *err)
{
    const char *path = km_arena_printf(&f->arena, "%s/RECORD", dist_info);
    const km_zip_entry *e = path ? km_zip_find(zip, path) : NULL;
    struct record record;
    int rc;

    if (!path)
        return km_fail_nomem(err);
    if (!e)
        return km_check_add(f, "record-missing", name, err, "there is no", path);
    rc = read_record(f, name, e, &record, err);
    for (size_t i = 0; rc == 0 && i < zip->count; i++)
        if (!km_ends_with(zip->entries[i].name, "/"))
            rc = check_member(f, name, &zip->entries[i], &zip->entries[i] == e, &record, err);
    return rc == 0 ? check_lines(f, name, &record, err) : rc;
}
