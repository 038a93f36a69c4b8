/* The lower half of the TOML reader: bytes, white space, keys and strings. */
#include <stdio.h>
#include <string.h>

#include "formats/toml_internal.h"

/* --- the check of the bytes --- */

/* Length of the valid UTF-8 sequence at `s`, or 0. The rows are table 3-7 of the Unicode standard:
 * the second byte's range keeps out overlong forms, surrogates and what lies beyond U+10FFFF. */
static size_t sequence_bytes(const char *text, const char *end)
{
    static const struct {
        unsigned char lead_first, lead_last, second_first, second_last, bytes;
    } rows[] = {
        { 0x00, 0x7F, 0x00, 0x00, 1 }, { 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 },
        { 0xE1, 0xEC, 0x80, 0xBF, 3 }, { 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 },
        { 0xF0, 0xF0, 0x90, 0xBF, 4 }, { 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
    };
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0, left = (size_t)(end - text);

    while (i < sizeof rows / sizeof *rows &&
           (s[0] < rows[i].lead_first || s[0] > rows[i].lead_last))
        i++;
    if (i == sizeof rows / sizeof *rows || rows[i].bytes > left)
        return 0;
    if (rows[i].bytes > 1 && (s[1] < rows[i].second_first || s[1] > rows[i].second_last))
        return 0;
    for (size_t k = 2; k < rows[i].bytes; k++) {
        if ((s[k] & 0xC0) != 0x80)
            return 0;
    }
    return rows[i].bytes;
}

static int check_control(km_toml_parser *p, unsigned char c)
{
    if ((c >= 0x20 && c != 0x7F) || c == '\t')
        return 0;
    if (c == '\r')
        return KM_TOML_FAIL(p, km_toml_here(p), "a carriage return stands without a line feed");
    return KM_TOML_FAIL(p, km_toml_here(p),
                        "control character U+%04X; a string may hold it as \\u%04X", c, c);
}

int km_toml_check_text(km_toml_parser *p)
{
    while (p->at < p->end) {
        size_t bytes = sequence_bytes(p->at, p->end);
        int rc;
        if (!bytes)
            return KM_TOML_FAIL(p, km_toml_here(p), "byte 0x%02X is not UTF-8 here",
                                (unsigned)(unsigned char)*p->at);
        if (km_toml_take_newline(p))
            continue;
        rc = bytes == 1 ? check_control(p, (unsigned char)*p->at) : 0;
        if (rc < 0)
            return rc;
        p->at += bytes;
    }
    return 0;
}

/* --- the cursor --- */

km_toml_place km_toml_here(const km_toml_parser *p)
{
    return (km_toml_place){ p->line, (unsigned)(p->at - p->line_start) + 1 };
}

int km_toml_peek(const km_toml_parser *p)
{
    return p->at < p->end ? (unsigned char)*p->at : -1;
}

bool km_toml_take(km_toml_parser *p, char c)
{
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

bool km_toml_take_newline(km_toml_parser *p)
{
    size_t bytes = 1;

    if (p->end - p->at >= 2 && p->at[0] == '\r' && p->at[1] == '\n')
        bytes = 2;
    else if (km_toml_peek(p) != '\n')
        return false;
    p->at += bytes;
    p->line_start = p->at;
    p->line++;
    return true;
}

void km_toml_skip_blanks(km_toml_parser *p)
{
    while (km_toml_take(p, ' ') || km_toml_take(p, '\t'))
        ;
}

static bool at_line_end(const km_toml_parser *p)
{
    int c = km_toml_peek(p);

    return c < 0 || c == '\n' || c == '\r';
}

void km_toml_skip_comment(km_toml_parser *p)
{
    if (km_toml_peek(p) != '#')
        return;
    while (!at_line_end(p))
        p->at++;
}

void km_toml_skip_lines(km_toml_parser *p)
{
    do {
        km_toml_skip_blanks(p);
        km_toml_skip_comment(p);
    } while (km_toml_take_newline(p));
}

int km_toml_keep(km_toml_parser *p, const char *data, size_t length, km_toml_text *out)
{
    out->data = km_arena_strndup(p->arena, data, length);
    out->length = length;
    return out->data ? 0 : km_fail_nomem(p->err);
}

/* --- what error messages show --- */

const char *km_toml_show(char buf[KM_TOML_SHOWN_BYTES], const char *text, size_t length)
{
    const char *at = text, *end = text + length;
    size_t used = 0;

    buf[0] = '\0';
    while (at < end) {
        size_t bytes = sequence_bytes(at, end);
        unsigned char c = (unsigned char)*at;
        if (used + sizeof "\\u0000..." > KM_TOML_SHOWN_BYTES) {
            memcpy(buf + used, "...", sizeof "...");
            break;
        }
        if (!bytes || c < 0x20 || c == 0x7F) {
            used += (size_t)snprintf(buf + used, sizeof "\\u0000", "\\u%04X", (unsigned)c);
            at++;
            continue;
        }
        memcpy(buf + used, at, bytes);
        used += bytes;
        buf[used] = '\0';
        at += bytes;
    }
    return buf;
}

const char *km_toml_show_key(char buf[KM_TOML_SHOWN_BYTES], const km_toml_key *key, size_t count)
{
    char name[KM_TOML_SHOWN_BYTES], joined[2 * KM_TOML_SHOWN_BYTES];
    size_t used = 0;

    for (size_t i = 0; i < count && used < KM_TOML_SHOWN_BYTES; i++) {
        const km_toml_text *t = &key->parts[i].text;
        const char *dot = i ? "." : "";
        used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%s", dot,
                                 km_toml_show(name, t->data, t->length));
    }
    return km_toml_show(buf, joined, used < sizeof joined ? used : sizeof joined - 1);
}

const char *km_toml_show_next(char buf[KM_TOML_SHOWN_BYTES], const km_toml_parser *p)
{
    char shown[KM_TOML_SHOWN_BYTES];

    if (p->at == p->end)
        return "the end of the file";
    if (at_line_end(p))
        return "the end of the line";
    if (*p->at == '#')
        return "a comment";
    snprintf(buf, KM_TOML_SHOWN_BYTES, "'%.8s'",
             km_toml_show(shown, p->at, sequence_bytes(p->at, p->end)));
    return buf;
}

/* --- strings --- */

struct quotes {
    char mark; /* " has escapes, ' has none */
    bool multiline;
    km_toml_place place;
};

static int fail_unclosed(km_toml_parser *p, const struct quotes *q)
{
    return KM_TOML_FAIL(p, q->place, "string is not closed; expected %.*s before the end of the %s",
                        q->multiline ? 3 : 1, q->mark == '"' ? "\"\"\"" : "'''",
                        q->multiline ? "file" : "line");
}

static void add_code_point(km_str *s, uint32_t c)
{
    char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = { 0, 0x00, 0xC0, 0xE0, 0xF0 };

    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3F));
    bytes[0] = (char)(leads[n] | c);
    km_str_add_bytes(s, bytes, n);
}

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The digits behind \u or \U. */
static int scan_code_point(km_toml_parser *p, int digits, km_toml_place escape)
{
    uint32_t c = 0;

    for (int i = 0; i < digits; i++) {
        int digit = hex_digit(km_toml_peek(p));
        if (digit < 0)
            return KM_TOML_FAIL(p, escape, "\\%c must be followed by %d hexadecimal digits",
                                digits == 4 ? 'u' : 'U', digits);
        c = c << 4 | (uint32_t)digit;
        p->at++;
    }
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return KM_TOML_FAIL(
            p, escape, "U+%04X is no character: it is a surrogate or beyond U+10FFFF", (unsigned)c);
    add_code_point(&p->scratch, c);
    return 0;
}

/* A backslash at the end of a line: it and all white space up to the next text are left out. */
static int scan_continuation(km_toml_parser *p, km_toml_place escape)
{
    km_toml_skip_blanks(p);
    if (!km_toml_take_newline(p))
        return KM_TOML_FAIL(p, escape, "a backslash before white space must end its line");
    do
        km_toml_skip_blanks(p);
    while (km_toml_take_newline(p));
    return 0;
}

static int scan_escape(km_toml_parser *p, const struct quotes *q)
{
    static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
    km_toml_place escape = km_toml_here(p);
    char shown[KM_TOML_SHOWN_BYTES];
    const char *name;
    int c;

    p->at++;
    c = km_toml_peek(p);
    if (q->multiline && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
        return scan_continuation(p, escape);
    if (at_line_end(p))
        return fail_unclosed(p, q);
    name = c ? strchr(names, c) : NULL;
    if (!name && c != 'u' && c != 'U')
        return KM_TOML_FAIL(p, escape, "unknown escape \\ and %s; expected one of btnfr\"\\uU",
                            km_toml_show_next(shown, p));
    p->at++;
    if (!name)
        return scan_code_point(p, c == 'u' ? 4 : 8, escape);
    km_str_add_char(&p->scratch, values[name - names]);
    return 0;
}

/* Quotes inside or at the end of a string. A multi-line string may end in one or two quotes of its
 * own before the three that close it. */
static bool take_quotes(km_toml_parser *p, const struct quotes *q)
{
    size_t run = 0, own;

    while (run < (q->multiline ? 5 : 1) && km_toml_take(p, q->mark))
        run++;
    if (!q->multiline)
        return true;
    own = run >= 3 ? run - 3 : run;
    for (size_t i = 0; i < own; i++)
        km_str_add_char(&p->scratch, q->mark);
    return run >= 3;
}

static void take_plain(km_toml_parser *p, const struct quotes *q)
{
    const char *start = p->at;

    while (!at_line_end(p) && *p->at != q->mark && (*p->at != '\\' || q->mark == '\''))
        p->at++;
    km_str_add_bytes(&p->scratch, start, (size_t)(p->at - start));
}

/* From behind the opening quotes to behind the closing ones, into the scratch. */
static int scan_body(km_toml_parser *p, const struct quotes *q)
{
    for (;;) {
        int c = km_toml_peek(p), rc = 0;
        if (c < 0 || (at_line_end(p) && !q->multiline))
            return fail_unclosed(p, q);
        if (c == q->mark) {
            if (take_quotes(p, q))
                return km_str_check(&p->scratch, p->err);
        } else if (c == '\\' && q->mark == '"') {
            rc = scan_escape(p, q);
        } else if (km_toml_take_newline(p)) {
            km_str_add_char(&p->scratch, '\n');
        } else {
            take_plain(p, q);
        }
        if (rc < 0)
            return rc;
    }
}

static int scan_quoted(km_toml_parser *p, const struct quotes *q, km_toml_text *out)
{
    int rc;

    km_str_clear(&p->scratch);
    rc = scan_body(p, q);
    return rc < 0 ? rc : km_toml_keep(p, p->scratch.data, p->scratch.length, out);
}

int km_toml_scan_string(km_toml_parser *p, km_toml_text *out)
{
    struct quotes q = { *p->at, false, km_toml_here(p) };

    q.multiline = p->end - p->at >= 3 && p->at[1] == q.mark && p->at[2] == q.mark;
    p->at += q.multiline ? 3 : 1;
    if (q.multiline)
        km_toml_take_newline(p);
    return scan_quoted(p, &q, out);
}

/* --- keys --- */

static bool is_bare(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static int scan_part(km_toml_parser *p, km_toml_part *part, bool first)
{
    char shown[KM_TOML_SHOWN_BYTES];
    const char *start = p->at;
    int c = km_toml_peek(p);

    part->place = km_toml_here(p);
    if (c == '"' || c == '\'') {
        struct quotes q = { (char)c, false, part->place };
        p->at++;
        return scan_quoted(p, &q, &part->text);
    }
    while (is_bare(km_toml_peek(p)))
        p->at++;
    if (p->at == start)
        return KM_TOML_FAIL(p, part->place, "found %s; expected a key%s",
                            km_toml_show_next(shown, p), first ? "" : " after the dot");
    return km_toml_keep(p, start, (size_t)(p->at - start), &part->text);
}

int km_toml_scan_key(km_toml_parser *p, km_toml_key *key)
{
    key->count = 0;
    do {
        int rc;
        if (key->count == KM_TOML_KEY_PARTS_MAX)
            return KM_TOML_LIMIT(p, km_toml_here(p), "key of more than %d names",
                                 KM_TOML_KEY_PARTS_MAX);
        km_toml_skip_blanks(p);
        rc = scan_part(p, &key->parts[key->count], key->count == 0);
        if (rc < 0)
            return rc;
        key->count++;
        km_toml_skip_blanks(p);
    } while (km_toml_take(p, '.'));
    return 0;
}
