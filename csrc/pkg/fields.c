#include "pkg/fields.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/path.h"
#include "core/str.h"

#define ROWS_MAX 64

int km_fields_fail(const km_fields *f, const km_toml *at, km_err *err, const char *format, ...)
{
    char message[KM_ERR_MESSAGE_BYTES];
    va_list ap;

    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    return km_fail_at(err, KM_EFORMAT, f->path, at ? at->line : 1, at ? at->column : 1, "%s",
                      message);
}

static int want(const km_fields *f, const char *key, const km_toml *value, km_toml_kind kind,
                km_err *err)
{
    if (value->kind == kind)
        return 0;
    return km_fields_fail(f, value, err, "'%s' must be a %s, not a %s", key,
                          km_toml_kind_name(kind), km_toml_kind_name(value->kind));
}

/* A C string: not empty, without a zero inside. */
static int take_text(const km_fields *f, const char *key, const km_toml *value, const char **out,
                     km_err *err)
{
    if (want(f, key, value, KM_TOML_STRING, err) < 0)
        return KM_EFORMAT;
    if (!value->string.length)
        return km_fields_fail(f, value, err, "'%s' is empty", key);
    if (strlen(value->string.data) != value->string.length)
        return km_fields_fail(f, value, err, "'%s' holds a zero byte", key);
    *out = value->string.data;
    return 0;
}

int km_fields_list(const km_fields *f, const char *key, const km_toml *value, km_list *out,
                   km_err *err)
{
    size_t n;

    if (want(f, key, value, KM_TOML_ARRAY, err) < 0)
        return KM_EFORMAT;
    n = value->array.count;
    if (n > KM_SOURCES_MAX)
        return km_fields_fail(f, value, err, "'%s' has %zu items; the limit is %d", key, n,
                              KM_SOURCES_MAX);
    out->given = true;
    out->items = km_arena_array(f->arena, n ? n : 1, sizeof *out->items);
    out->places = km_arena_array(f->arena, n ? n : 1, sizeof *out->places);
    if (!out->items || !out->places)
        return km_fail_nomem(err);
    for (; out->count < n; out->count++) {
        out->places[out->count] = value->array.items[out->count];
        if (take_text(f, key, value->array.items[out->count], &out->items[out->count], err) < 0)
            return KM_EFORMAT;
    }
    return 0;
}

static int take_paths(const km_fields *f, const char *key, const km_toml *value, km_list *out,
                      km_err *err)
{
    km_err why = KM_ERR_INIT;

    if (km_fields_list(f, key, value, out, err) < 0)
        return err ? err->code : KM_EFORMAT;
    for (size_t i = 0; i < out->count; i++)
        if (strcmp(out->items[i], ".") != 0 && km_path_check_relative(out->items[i], &why) < 0)
            return km_fields_fail(f, out->places[i], err, "'%s': %s", key, why.message);
    return 0;
}

static int take_int(const km_fields *f, const char *key, const km_toml *value, int64_t *out,
                    km_err *err)
{
    if (want(f, key, value, KM_TOML_INT, err) < 0)
        return KM_EFORMAT;
    if (value->integer < 0)
        return km_fields_fail(f, value, err, "'%s' must be 0 or more", key);
    *out = value->integer;
    return 0;
}

static int take_version(const km_fields *f, const char *key, const km_toml *value, km_version *out,
                        km_err *err)
{
    const char *text = NULL;

    if (value->kind == KM_TOML_FLOAT || value->kind == KM_TOML_INT) {
        km_fields_fail(f, value, err, "'%s' must be a string, not a %s", key,
                       km_toml_kind_name(value->kind));
        return km_hint(err, "put the version in quotes: \"12.6\"");
    }
    if (take_text(f, key, value, &text, err) < 0)
        return KM_EFORMAT;
    if (!km_version_parse(text, out))
        return km_fields_fail(f, value, err, "'%s' is no version: '%s'", key, text);
    return 0;
}

static int take_url(const km_fields *f, const char *key, const km_toml *value, const char **out,
                    km_err *err)
{
    static const char *const schemes[] = { "https://",     "http://",     "git://",     "ssh://",
                                           "git+https://", "git+http://", "git+ssh://", NULL };

    if (take_text(f, key, value, out, err) < 0)
        return KM_EFORMAT;
    for (const char *const *s = schemes; *s; s++)
        if (km_starts_with(*out, *s))
            return 0;
    if (strchr(*out, '@') && strchr(*out, ':')) /* git@host:path */
        return 0;
    return km_fields_fail(f, value, err, "'%s' is no git URL: '%s'", key, *out);
}

static int take(const km_fields *f, const km_field *row, const km_toml *value, void *base,
                km_err *err)
{
    void *field = (char *)base + row->offset;

    switch (row->kind) {
    case KM_FIELD_TEXT:
        return take_text(f, row->key, value, field, err);
    case KM_FIELD_INT:
        return take_int(f, row->key, value, field, err);
    case KM_FIELD_LIST:
        return km_fields_list(f, row->key, value, field, err);
    case KM_FIELD_PATHS:
        return take_paths(f, row->key, value, field, err);
    case KM_FIELD_VERSION:
        return take_version(f, row->key, value, field, err);
    case KM_FIELD_URL:
        return take_url(f, row->key, value, field, err);
    case KM_FIELD_TABLE:
        return want(f, row->key, value, KM_TOML_TABLE, err);
    case KM_FIELD_ARRAY:
        return want(f, row->key, value, KM_TOML_ARRAY, err);
    case KM_FIELD_ANY:
        return 0;
    }
    return km_fail(err, KM_EBUG, "field '%s' has no kind", row->key);
}

static int unknown(const km_fields *f, const km_toml_entry *e, const km_field *rows, km_err *err)
{
    const char *names[ROWS_MAX], *near;
    size_t n = 0;

    for (; rows->key && n + 1 < ROWS_MAX; rows++)
        names[n++] = rows->key;
    names[n] = NULL;
    km_fail_at(err, KM_EFORMAT, f->path, e->key_line, e->key_column, "unknown key '%s'%s%s", e->key,
               *f->table ? " in " : "", f->table);
    near = km_nearest(e->key, names);
    return near ? km_hint(err, "did you mean '%s'?", near) : KM_EFORMAT;
}

int km_fields_read(const km_fields *f, const km_toml *table, const km_field *rows, void *base,
                   km_err *err)
{
    for (size_t i = 0; i < table->table.count; i++) {
        const km_toml_entry *e = &table->table.entries[i];
        const km_field *row = rows;
        int rc;
        while (row->key && strcmp(row->key, e->key) != 0)
            row++;
        if (!row->key)
            return unknown(f, e, rows, err);
        rc = take(f, row, e->value, base, err);
        if (rc < 0)
            return rc;
    }
    for (const km_field *row = rows; row->key; row++)
        if (row->required && !km_toml_get(table, row->key))
            return km_fields_fail(f, table, err, "missing key '%s'%s%s", row->key,
                                  *f->table ? " in " : "", f->table);
    return 0;
}

bool km_version_parse(const char *text, km_version *out)
{
    km_version v = { 0, { 0 } };

    for (;;) {
        unsigned long number = 0;
        const char *digits = text;
        while (isdigit((unsigned char)*text) && text - digits < 6)
            number = number * 10 + (unsigned long)(*text++ - '0');
        if (text == digits || v.count == sizeof v.part / sizeof v.part[0])
            return false;
        v.part[v.count++] = (unsigned)number;
        if (!*text)
            break;
        if (*text++ != '.')
            return false;
    }
    *out = v;
    return true;
}

int km_version_compare(const km_version *a, const km_version *b)
{
    for (size_t i = 0; i < sizeof a->part / sizeof a->part[0]; i++)
        if (a->part[i] != b->part[i])
            return a->part[i] < b->part[i] ? -1 : 1;
    return 0;
}
