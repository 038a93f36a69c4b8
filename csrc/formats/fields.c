#include "formats/fields.h"

#include <ctype.h>
#include <math.h>
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

/* "an array" */
static const char *article(km_toml_kind kind)
{
    return kind == KM_TOML_INT || kind == KM_TOML_ARRAY ? "an" : "a";
}

/* As km_fields_want, for what errors call `what`. */
static int want(const km_fields *f, const char *what, const km_toml *value, km_toml_kind kind,
                km_err *err)
{
    if (value->kind == kind)
        return 0;
    return km_fields_fail(f, value, err, "%s must be %s %s, not %s %s", what, article(kind),
                          km_toml_kind_name(kind), article(value->kind),
                          km_toml_kind_name(value->kind));
}

/* "'src'", for errors; cut when it is long. */
struct quoted {
    char text[80];
};

static struct quoted quote(const char *before, const char *key)
{
    struct quoted q;

    snprintf(q.text, sizeof q.text, "%s'%.48s'", before, key);
    return q;
}

int km_fields_want(const km_fields *f, const char *key, const km_toml *value, km_toml_kind kind,
                   km_err *err)
{
    return want(f, quote("", key).text, value, kind, err);
}

int km_fields_number(const km_fields *f, const char *key, const km_toml *value, double *out,
                     km_err *err)
{
    if (!value)
        return 0;
    if (value->kind == KM_TOML_INT)
        *out = (double)value->integer;
    else if (km_fields_want(f, key, value, KM_TOML_FLOAT, err) < 0)
        return KM_EFORMAT;
    else
        *out = value->real;
    return 0;
}

int km_fields_hint_names(const char *const *names, km_err *err)
{
    km_str list = KM_STR_INIT;
    int rc;

    for (size_t i = 0; names[i]; i++)
        km_str_printf(&list, "%s%s", i ? ", " : "", names[i]);
    rc = km_hint(err, "known: %s", list.length ? list.data : "nothing");
    km_str_release(&list);
    return rc;
}

/* A C string of one line, as it goes into Ninja files, metadata and cards: not empty, without a
 * zero or another control character inside. */
static int take_text(const km_fields *f, const char *what, const km_toml *value, const char **out,
                     km_err *err)
{
    if (want(f, what, value, KM_TOML_STRING, err) < 0)
        return KM_EFORMAT;
    if (!value->string.length)
        return km_fields_fail(f, value, err, "%s is empty", what);
    if (strlen(value->string.data) != value->string.length)
        return km_fields_fail(f, value, err, "%s holds a zero byte", what);
    for (const char *c = value->string.data; *c; c++)
        if (*c == '\n')
            return km_fields_fail(f, value, err, "%s must be one line", what);
        else if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            return km_fields_fail(f, value, err, "%s holds a control character, 0x%02x", what, *c);
    *out = value->string.data;
    return 0;
}

int km_fields_list(const km_fields *f, const char *key, const km_toml *value, km_list *out,
                   km_err *err)
{
    size_t n;

    if (km_fields_want(f, key, value, KM_TOML_ARRAY, err) < 0)
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
        if (take_text(f, quote("an item of ", key).text, value->array.items[out->count],
                      &out->items[out->count], err) < 0)
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
        if (strcmp(out->items[i], ".") != 0 && km_path_check_relative(out->items[i], &why) < 0) {
            km_fields_fail(f, out->places[i], err, "'%s': %s", key, why.message);
            return km_hint(err, "paths are relative to the repository and stay inside it");
        }
    return 0;
}

static int take_int(const km_fields *f, const char *key, const km_toml *value, int64_t *out,
                    km_err *err)
{
    if (km_fields_want(f, key, value, KM_TOML_INT, err) < 0)
        return KM_EFORMAT;
    if (value->integer < 0)
        return km_fields_fail(f, value, err, "'%s' must be 0 or more", key);
    *out = value->integer;
    return 0;
}

static int take_real(const km_fields *f, const char *key, const km_toml *value, double *out,
                     km_err *err)
{
    double number = 0;

    if (km_fields_number(f, key, value, &number, err) < 0)
        return KM_EFORMAT;
    if (!(number >= 0) || !isfinite(number))
        return km_fields_fail(f, value, err, "'%s' must be 0 or more, and finite", key);
    *out = number;
    return 0;
}

static int take_version(const km_fields *f, const char *key, const km_toml *value, km_version *out,
                        km_err *err)
{
    const char *text = NULL;

    if (value->kind == KM_TOML_FLOAT || value->kind == KM_TOML_INT) {
        km_fields_fail(f, value, err, "'%s' must be a string, not %s %s", key, article(value->kind),
                       km_toml_kind_name(value->kind));
        return km_hint(err, "put the version in quotes: \"12.6\"");
    }
    if (take_text(f, quote("", key).text, value, &text, err) < 0)
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

    if (take_text(f, quote("", key).text, value, out, err) < 0)
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
        return take_text(f, quote("", row->key).text, value, field, err);
    case KM_FIELD_INT:
        return take_int(f, row->key, value, field, err);
    case KM_FIELD_REAL:
        return take_real(f, row->key, value, field, err);
    case KM_FIELD_LIST:
        return km_fields_list(f, row->key, value, field, err);
    case KM_FIELD_PATHS:
        return take_paths(f, row->key, value, field, err);
    case KM_FIELD_VERSION:
        return take_version(f, row->key, value, field, err);
    case KM_FIELD_URL:
        return take_url(f, row->key, value, field, err);
    case KM_FIELD_TABLE:
        return km_fields_want(f, row->key, value, KM_TOML_TABLE, err);
    case KM_FIELD_ARRAY:
        return km_fields_want(f, row->key, value, KM_TOML_ARRAY, err);
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
    km_fail_at(err, KM_EFORMAT, f->path, e->key_line, e->key_column, "unknown %s '%s'%s%s",
               e->value->kind == KM_TOML_TABLE ? "table" : "key", e->key, *f->table ? " in " : "",
               f->table);
    near = km_nearest(e->key, names);
    return near ? km_hint(err, "did you mean '%s'?", near) : km_fields_hint_names(names, err);
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
            return km_fields_fail(f, table, err, "missing %s '%s'%s%s",
                                  row->kind == KM_FIELD_TABLE ? "table" : "key", row->key,
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
