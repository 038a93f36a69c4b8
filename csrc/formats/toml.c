/* The upper half of the TOML reader: documents, headers, pairs, arrays and inline tables.
 *
 * Arrays and inline tables recurse, at most KM_TOML_DEPTH_MAX deep: km_toml_new refuses more.
 */
#include "formats/toml.h"

#include <string.h>

#include "core/file.h"
#include "formats/toml_internal.h"

static int scan_value(km_toml_parser *p, km_toml *v, unsigned depth);

/* key = value, into `table`, which lies `depth` deep. */
static int scan_pair(km_toml_parser *p, km_toml *table, unsigned depth)
{
    char shown[KM_TOML_SHOWN_BYTES], next[KM_TOML_SHOWN_BYTES];
    km_toml_key key;
    km_toml *value;
    int rc = km_toml_scan_key(p, &key);

    if (rc < 0)
        return rc;
    if (!km_toml_take(p, '='))
        return KM_TOML_FAIL(p, km_toml_here(p), "found %s after key '%s'; expected '='",
                            km_toml_show_next(next, p), km_toml_show_key(shown, &key, key.count));
    km_toml_skip_blanks(p);
    value = km_toml_claim(p, table, &key, &depth);
    return value ? scan_value(p, value, depth) : p->code;
}

/* A new item at the end of the array `v`, which lies `depth` deep. */
static int scan_item(km_toml_parser *p, km_toml *v, unsigned depth)
{
    km_toml *item = km_toml_new(p, KM_TOML_STRING, km_toml_here(p), depth + 1);
    int rc;

    if (!item)
        return p->code;
    rc = km_toml_push(p, v, item);
    return rc < 0 ? rc : scan_value(p, item, depth + 1);
}

static int fail_in_array(km_toml_parser *p, const km_toml *v)
{
    char next[KM_TOML_SHOWN_BYTES];

    return KM_TOML_FAIL(p, km_toml_here(p),
                        "found %s in the array that starts at %u:%u; expected ',' or ']'",
                        km_toml_show_next(next, p), v->line, v->column);
}

static int scan_array(km_toml_parser *p, km_toml *v, unsigned depth)
{
    v->kind = KM_TOML_ARRAY;
    p->at++;
    km_toml_skip_lines(p);
    while (!km_toml_take(p, ']')) {
        int rc = p->at < p->end ? scan_item(p, v, depth) : fail_in_array(p, v);
        if (rc < 0)
            return rc;
        km_toml_skip_lines(p);
        if (km_toml_take(p, ','))
            km_toml_skip_lines(p);
        else if (km_toml_peek(p) != ']')
            return fail_in_array(p, v);
    }
    return 0;
}

static int fail_in_braces(km_toml_parser *p, const km_toml *v)
{
    char next[KM_TOML_SHOWN_BYTES];
    int c = km_toml_peek(p);
    int rc = KM_TOML_FAIL(p, km_toml_here(p),
                          "found %s in the inline table that starts at %u:%u; expected ',' or '}'",
                          km_toml_show_next(next, p), v->line, v->column);

    if (c == '\n' || c == '\r' || c == '#')
        km_hint(p->err, "TOML 1.0 has inline tables on one line; use a [table] for more");
    return rc;
}

static int scan_inline_table(km_toml_parser *p, km_toml *v, unsigned depth)
{
    bool more;

    v->kind = KM_TOML_TABLE;
    p->at++;
    km_toml_skip_blanks(p);
    more = !km_toml_take(p, '}');
    while (more) {
        int rc = scan_pair(p, v, depth);
        if (rc < 0)
            return rc;
        km_toml_skip_blanks(p);
        more = km_toml_take(p, ',');
        if (!more && !km_toml_take(p, '}'))
            return fail_in_braces(p, v);
    }
    v->table.origin = KM_TOML_BY_BRACES;
    return 0;
}

static int scan_value(km_toml_parser *p, km_toml *v, unsigned depth)
{
    km_toml_place place = km_toml_here(p);

    v->line = place.line;
    v->column = place.column;
    switch (km_toml_peek(p)) {
    case '"':
    case '\'':
        v->kind = KM_TOML_STRING;
        return km_toml_scan_string(p, &v->string);
    case '[':
        return scan_array(p, v, depth);
    case '{':
        return scan_inline_table(p, v, depth);
    default:
        return km_toml_scan_scalar(p, v);
    }
}

/* [key] or [[key]]; the cursor is at the first bracket. */
static int scan_header(km_toml_parser *p)
{
    char next[KM_TOML_SHOWN_BYTES];
    km_toml_key key;
    bool item;
    int rc;

    p->at++;
    item = km_toml_take(p, '[');
    rc = km_toml_scan_key(p, &key);
    if (rc < 0)
        return rc;
    if (!km_toml_take(p, ']') || (item && !km_toml_take(p, ']')))
        return KM_TOML_FAIL(p, km_toml_here(p), "found %s in a table header; expected '%s'",
                            km_toml_show_next(next, p), item ? "]]" : "]");
    return item ? km_toml_open_item(p, &key) : km_toml_open_table(p, &key);
}

static int scan_line(km_toml_parser *p)
{
    char next[KM_TOML_SHOWN_BYTES];
    bool header = km_toml_peek(p) == '[';
    int rc = header ? scan_header(p) : scan_pair(p, p->section, p->section_depth);

    if (rc < 0)
        return rc;
    km_toml_skip_blanks(p);
    km_toml_skip_comment(p);
    if (p->at < p->end && !km_toml_take_newline(p))
        return KM_TOML_FAIL(p, km_toml_here(p),
                            "found %s behind the %s; expected the end of the line",
                            km_toml_show_next(next, p), header ? "header" : "value");
    return 0;
}

static void rewind_to(km_toml_parser *p, const char *start)
{
    p->at = p->line_start = start;
    p->line = 1;
}

static int scan_document(km_toml_parser *p, const char *text, size_t size)
{
    static const char byte_order_mark[] = { '\xEF', '\xBB', '\xBF' };
    bool marked = size >= sizeof byte_order_mark &&
                  memcmp(text, byte_order_mark, sizeof byte_order_mark) == 0;
    const char *start = marked ? text + sizeof byte_order_mark : text;
    int rc;

    p->end = text + size;
    rewind_to(p, start);
    rc = km_toml_check_text(p);
    rewind_to(p, start);
    if (rc < 0)
        return rc;
    p->root = km_toml_new(p, KM_TOML_TABLE, km_toml_here(p), 0);
    if (!p->root)
        return p->code;
    p->root->table.origin = KM_TOML_BY_HEADER;
    p->section = p->root;
    for (km_toml_skip_lines(p); p->at < p->end; km_toml_skip_lines(p)) {
        rc = scan_line(p);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int km_toml_parse(km_arena *a, const char *text, size_t size, const char *name, km_toml **out,
                  km_err *err)
{
    km_toml_parser p = { .arena = a, .name = name, .scratch = KM_STR_INIT, .err = err };
    int rc;

    *out = NULL;
    if (size > KM_TOML_BYTES_MAX)
        return km_fail_at(err, KM_ELIMIT, name, 0, 0, "%zu bytes of TOML; the limit is %u", size,
                          KM_TOML_BYTES_MAX);
    p.locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    rc = p.locale ? scan_document(&p, size ? text : "", size) : km_fail_nomem(err);
    if (p.locale)
        freelocale(p.locale);
    km_str_release(&p.scratch);
    if (rc == 0)
        *out = p.root;
    return rc;
}

int km_toml_read(km_arena *a, const char *path, km_toml **out, km_err *err)
{
    km_arena file = KM_ARENA_INIT;
    size_t size;
    char *text;
    int rc;

    *out = NULL;
    rc = km_file_read(&file, path, KM_TOML_BYTES_MAX, &text, &size, err);
    if (rc == 0)
        rc = km_toml_parse(a, text, size, path, out, err);
    km_arena_release(&file);
    return rc;
}

const char *km_toml_kind_name(km_toml_kind kind)
{
    static const char *const names[] = { "string",   "integer", "float", "boolean",
                                         "datetime", "array",   "table" };

    return names[kind];
}
