/* formats/toml.h: TOML 1.0 documents as a tree that knows where everything stood.
 *
 * The reader accepts what https://toml.io/en/v1.0.0 accepts and nothing else. Where the
 * specification leaves a choice: CRLF inside a multi-line string becomes LF; a byte order mark at
 * the start is skipped; an integer beyond 64 bits is an error; a float beyond binary64 becomes an
 * infinity, as IEEE rounding has it; years 0000 to 9999 are years, and second 60 is accepted in any
 * minute, because leap seconds cannot be foreseen.
 *
 *     km_toml *doc;
 *     if (km_toml_read(&a, path, &doc, err) < 0)
 *         return err->code;
 *     const km_toml *name = km_toml_get(doc, "name");
 *     if (name && name->kind != KM_TOML_STRING)
 *         return km_fail_at(err, KM_EFORMAT, path, name->line, name->column,
 *                           "'name' is no string but %s", km_toml_kind_name(name->kind));
 *
 * Lines count from 1, and so do columns, which count bytes (a tab is one). No value lies deeper
 * than KM_TOML_DEPTH_MAX tables and arrays below the document, so that readers may recurse. Time is
 * n log n in the size of the document, whatever it holds.
 */
#ifndef KERNMILL_FORMATS_TOML_H
#define KERNMILL_FORMATS_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"

typedef enum {
    KM_TOML_STRING,
    KM_TOML_INT,
    KM_TOML_FLOAT,
    KM_TOML_BOOL,
    KM_TOML_DATETIME, /* any of the four kinds of date and time */
    KM_TOML_ARRAY,
    KM_TOML_TABLE
} km_toml_kind;

typedef struct km_toml km_toml;

typedef struct {
    const char *data; /* terminated UTF-8; a string may hold zeros of its own, written \u0000 */
    size_t length;    /* bytes, without the terminator */
} km_toml_text;

typedef struct {
    km_toml **items; /* in file order */
    size_t count;
    size_t room;    /* the parser's: items there is memory for */
    bool of_tables; /* made by [[headers]], so that all items are tables */
} km_toml_array;

typedef struct {
    const char *key; /* terminated UTF-8; may hold zeros of its own, as a string may */
    size_t key_length;
    unsigned key_line; /* where the key was first mentioned */
    unsigned key_column;
    km_toml *value;
    uint32_t left; /* the parser's: the table's index, see toml_table.c */
    uint32_t right;
    uint32_t level;
} km_toml_entry;

typedef struct {
    km_toml_entry *entries; /* in the order in which the file first mentions the keys */
    size_t count;
    uint32_t room;   /* the parser's: entries there is memory for */
    uint32_t top;    /* the parser's: where the index starts */
    unsigned origin; /* the parser's: what made the table, hence who may add to it */
} km_toml_table;

struct km_toml {
    km_toml_kind kind;
    unsigned line; /* of the value's first byte; of its name for a table made by a header or key */
    unsigned column;
    union {
        km_toml_text string; /* KM_TOML_STRING; KM_TOML_DATETIME: valid, written as in the file */
        int64_t integer;
        double real;
        bool boolean;
        km_toml_array array;
        km_toml_table table;
    };
};

/* Parses `size` bytes at `text`, which need be neither terminated nor kept; `name` is what errors
 * call the file. *out is the document's table (its place is 1:1), in the arena.
 * Errors, all with name:line:column: KM_EFORMAT; KM_ELIMIT beyond KM_TOML_BYTES_MAX,
 * KM_TOML_DEPTH_MAX, KM_TOML_KEY_PARTS_MAX or KM_TOML_VALUES_MAX; KM_ENOMEM (without a place). *out
 * is then NULL, and what was parsed stays in the arena. */
int km_toml_parse(km_arena *a, const char *text, size_t size, const char *name, km_toml **out,
                  km_err *err);

/* As km_toml_parse, from a file. Errors also: those of km_file_read. */
int km_toml_read(km_arena *a, const char *path, km_toml **out, km_err *err);

/* The value of a key, or NULL; NULL also when `table` is NULL or no table. Borrowed. */
const km_toml *km_toml_get(const km_toml *table, const char *key);

/* "string", "integer", "float", "boolean", "datetime", "array" or "table". */
const char *km_toml_kind_name(km_toml_kind kind);

#endif
