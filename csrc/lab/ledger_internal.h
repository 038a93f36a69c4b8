/* lab/ledger_internal.h: between the files of lab/ledger*.c. */
#ifndef KERNMILL_LAB_LEDGER_INTERNAL_H
#define KERNMILL_LAB_LEDGER_INTERNAL_H

#include <jansson.h>

#include "lab/ledger.h"

/* The columns of a table's form, in their order; end with NULL. NULL for the dag. */
extern const char *const *const km_ledger_columns[];

/* Whether `text` is one finite number and nothing else. */
bool km_ledger_number(const char *text, double *out);

/* "2026-03-18T02:37:20Z", also with a fraction or an offset, as microseconds; false: it is none. */
bool km_ledger_time(const char *text, int64_t *out_us);

#endif
