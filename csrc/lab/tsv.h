/* lab/tsv.h: tables of text with tabs between fields, which people and other labs keep their
 * results in: a record a line, the first of which names the columns.
 *
 * With `quotes` a field may be written as Python's csv module does, in double quotes, a quote in it
 * doubled, and may then hold tabs and line ends; without, a quote is a letter as any.
 */
#ifndef KERNMILL_LAB_TSV_H
#define KERNMILL_LAB_TSV_H

#include <stdbool.h>

#include "core/err.h"
#include "core/limits.h"
#include "core/str.h"

typedef struct {
    const char *path; /* for errors */
    bool quotes;
    char *at;           /* what is not read yet; changed as it is read */
    unsigned line, now; /* of the record that was read, and where reading is */
    char *fields[KM_LEDGER_COLUMNS_MAX];
    size_t count;
} km_tsv;

/* `text` is the caller's, and is changed: fields point into it. */
void km_tsv_init(km_tsv *t, const char *path, char *text);

/* The next record that is no empty line: 1, or 0 at the end. Errors: KM_EFORMAT with the line. */
int km_tsv_next(km_tsv *t, km_err *err);

/* Makes a text fit for one field, in place: what would end a field or a line, or deceive whoever
 * reads it, becomes a blank or '?'. */
void km_tsv_clean(char *text);

/* Appends a record; each field is cleaned on its way. */
int km_tsv_add(km_str *out, const char *const *fields, size_t count, bool quotes, km_err *err);

#endif
