/* cli/compare_table.h: a comparison of two records for people and for programs. */
#ifndef KERNMILL_CLI_COMPARE_TABLE_H
#define KERNMILL_CLI_COMPARE_TABLE_H

#include "record/compare.h"

/* Prints a line a change, regressions last, to stdout. */
void km_compare_print(const km_comparison *c, double gate);

/* { "gate": ..., "changes": [...], "regressions": n, ... }; the caller's. */
json_t *km_compare_json(const km_comparison *c, double gate);

/* "2" or "2%" as 0.02, NULL as `standard`; `option` names it in errors. Errors: KM_EUSAGE. */
int km_compare_share(const char *text, const char *option, double standard, double *out,
                     km_err *err);

#endif
