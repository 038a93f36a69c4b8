/* formats/fields.h: a TOML table read into a struct by a list of rows, so that the list is the
 * format's documentation, its type check and its spelling help at once. */
#ifndef KERNMILL_FORMATS_FIELDS_H
#define KERNMILL_FORMATS_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"
#include "formats/toml.h"

/* A version as the manifest writes it: "12.6" is { 2, { 12, 6 } }. count 0: not given. */
typedef struct {
    unsigned count;
    unsigned part[4];
} km_version;

typedef struct {
    const char **items;
    const km_toml **places; /* of each item, for errors */
    size_t count;
    bool given; /* the key was there, maybe empty */
} km_list;

typedef enum {
    KM_FIELD_TEXT,    /* const char * */
    KM_FIELD_INT,     /* int64_t, at least 0 */
    KM_FIELD_REAL,    /* double, at least 0 and finite, from an integer or a float */
    KM_FIELD_LIST,    /* km_list of strings */
    KM_FIELD_PATHS,   /* km_list of relative paths that stay inside */
    KM_FIELD_VERSION, /* km_version, from a string */
    KM_FIELD_URL,     /* const char *, a git URL */
    KM_FIELD_TABLE,   /* checked only; the caller reads it with km_toml_get */
    KM_FIELD_ARRAY,   /* likewise */
    KM_FIELD_ANY      /* not even checked */
} km_field_kind;

typedef struct {
    const char *key; /* NULL ends the rows */
    km_field_kind kind;
    size_t offset; /* of the field in the struct; not used for the last three kinds */
    bool required;
} km_field;

#define KM_FIELD_END { NULL, KM_FIELD_TEXT, 0, false }

/* Where the table stands in its file, for errors. */
typedef struct {
    km_arena *arena;
    const char *path;  /* the file */
    const char *table; /* "[general]", or "" for the document */
} km_fields;

/* Fills the struct at `base`. Keys in no row are errors with the nearest row's key as hint. */
int km_fields_read(const km_fields *f, const km_toml *table, const km_field *rows, void *base,
                   km_err *err);

/* An error at a value's place. */
int km_fields_fail(const km_fields *f, const km_toml *at, km_err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Whether `value` is of this kind. */
int km_fields_want(const km_fields *f, const char *key, const km_toml *value, km_toml_kind kind,
                   km_err *err);

/* Adds the names (which end with NULL) to an error, as what could stand there. Returns err->code.
 */
int km_fields_hint_names(const char *const *names, km_err *err);

/* `value`, an integer or a float, if it is there: *out else keeps what it had. */
int km_fields_number(const km_fields *f, const char *key, const km_toml *value, double *out,
                     km_err *err);

/* `value` as a list of strings. */
int km_fields_list(const km_fields *f, const char *key, const km_toml *value, km_list *out,
                   km_err *err);

/* "12.6"; parses at most four numbers. False when the text is no version. */
bool km_version_parse(const char *text, km_version *out);

/* <0, 0, >0; missing parts count as 0. */
int km_version_compare(const km_version *a, const km_version *b);

#endif
