/* formats/toml_internal.h: what the files of the TOML reader share; for them alone.
 *
 *   toml.c         documents: lines, headers, key/value pairs, arrays, inline tables
 *   toml_scan.c    the cursor, the check of the bytes, white space, keys, strings
 *   toml_scalar.c  booleans, numbers, dates and times
 *   toml_table.c   the tree: new values, the index of a table, and who may add to which table
 *
 * Every scanning function starts at the cursor and leaves it behind what it took. The text has been
 * checked as a whole first (km_toml_check_text): behind that, it is valid UTF-8 without control
 * characters but tab, LF and the CR of CRLF.
 */
#ifndef KERNMILL_FORMATS_TOML_INTERNAL_H
#define KERNMILL_FORMATS_TOML_INTERNAL_H

#include <locale.h>

#include "core/str.h"
#include "formats/toml.h"

#define KM_TOML_SHOWN_BYTES 96 /* of a document's text in an error message */

typedef struct {
    unsigned line;
    unsigned column;
} km_toml_place;

typedef struct {
    km_arena *arena;
    const char *name;
    const char *at; /* the cursor */
    const char *end;
    const char *line_start;
    unsigned line;
    size_t value_count;
    km_str scratch;  /* the string or number being put together */
    locale_t locale; /* "C": a decimal point is a point, whatever the process has set */
    km_toml *root;
    km_toml *section;       /* the table that key/value pairs now go to */
    unsigned section_depth; /* tables and arrays above it */
    int code;               /* why a function that returns a value returned NULL */
    km_err *err;
} km_toml_parser;

/* One name of a dotted key. */
typedef struct {
    km_toml_text text;
    km_toml_place place;
} km_toml_part;

typedef struct {
    km_toml_part parts[KM_TOML_KEY_PARTS_MAX];
    size_t count; /* at least 1 */
} km_toml_key;

/* What made a table decides who may add to it; see toml_table.c. */
typedef enum {
    KM_TOML_BY_PATH,   /* stood before the last name of a header */
    KM_TOML_BY_HEADER, /* [name], an item of [[name]], or the document */
    KM_TOML_BY_DOTTED, /* stood before the last name of a dotted key */
    KM_TOML_BY_BRACES  /* an inline table: complete */
} km_toml_origin;

/* An error at a place of the document: an expression of value KM_EFORMAT. */
#define KM_TOML_FAIL(p, place, ...)                                                                \
    km_fail_at((p)->err, KM_EFORMAT, (p)->name, (place).line, (place).column, __VA_ARGS__)
#define KM_TOML_LIMIT(p, place, ...)                                                               \
    km_fail_at((p)->err, KM_ELIMIT, (p)->name, (place).line, (place).column, __VA_ARGS__)

/* --- toml_scan.c --- */

/* UTF-8, and no control characters. */
int km_toml_check_text(km_toml_parser *p);

km_toml_place km_toml_here(const km_toml_parser *p);

/* The byte at the cursor, or -1 at the end. */
int km_toml_peek(const km_toml_parser *p);

/* Takes this byte (not a newline), if it is next. */
bool km_toml_take(km_toml_parser *p, char c);
bool km_toml_take_newline(km_toml_parser *p);

void km_toml_skip_blanks(km_toml_parser *p); /* spaces and tabs */
void km_toml_skip_comment(km_toml_parser *p);
void km_toml_skip_lines(km_toml_parser *p); /* blanks, comments and newlines */

/* A terminated copy in the arena. */
int km_toml_keep(km_toml_parser *p, const char *data, size_t length, km_toml_text *out);

/* A key of one or more names, with the blanks around its dots and behind it. */
int km_toml_scan_key(km_toml_parser *p, km_toml_key *key);

/* A string of any of the four kinds; the cursor is at its first quote. */
int km_toml_scan_string(km_toml_parser *p, km_toml_text *out);

/* Printable, shortened copies for error messages; each returns `buf`. */
const char *km_toml_show(char buf[KM_TOML_SHOWN_BYTES], const char *text, size_t length);
/* The first `count` names of a key, dots between them. */
const char *km_toml_show_key(char buf[KM_TOML_SHOWN_BYTES], const km_toml_key *key, size_t count);
/* What stands at the cursor: "'x'", "the end of the line", ... */
const char *km_toml_show_next(char buf[KM_TOML_SHOWN_BYTES], const km_toml_parser *p);

/* --- toml_scalar.c --- */

/* A value that is no string, array or inline table. Fills kind and value of *v. */
int km_toml_scan_scalar(km_toml_parser *p, km_toml *v);

/* --- toml_table.c --- */

/* A new value `depth` tables and arrays below the document; NULL on failure, with p->code. */
km_toml *km_toml_new(km_toml_parser *p, km_toml_kind kind, km_toml_place place, unsigned depth);

int km_toml_push(km_toml_parser *p, km_toml *array, km_toml *item);

/* Makes [key] or [[key]] the section. */
int km_toml_open_table(km_toml_parser *p, const km_toml_key *key);
int km_toml_open_item(km_toml_parser *p, const km_toml_key *key);

/* Adds a value, still to be filled, under a key relative to `table`, which lies `*depth` deep;
 * *depth becomes the value's. NULL on failure, with p->code. */
km_toml *km_toml_claim(km_toml_parser *p, km_toml *table, const km_toml_key *key, unsigned *depth);

#endif
