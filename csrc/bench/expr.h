/* bench/expr.h: arithmetic in suites: "2 * rows * columns * size + 4 * rows".
 *
 *     sum     = product (("+" | "-") product)*
 *     product = power (("*" | "/" | "//" | "%") power)*       // and % round towards minus infinity
 *     power   = (("+" | "-") power) | primary ("**" power)?
 *     primary = number | name | "(" sum ")"
 *
 * as Python has them, in doubles: whole numbers are exact up to 2^53. */
#ifndef KERNMILL_BENCH_EXPR_H
#define KERNMILL_BENCH_EXPR_H

#include <stddef.h>

#include "core/err.h"

typedef struct {
    const char *name;
    double value;
} km_variable;

/* The value of `text`. Errors: KM_EFORMAT with the column and what was expected there, a name that
 * is none of the variables (the nearest as hint), or a result that is no finite number; KM_ELIMIT
 * beyond KM_EXPR_DEPTH_MAX. */
int km_expr_value(const char *text, const km_variable *variables, size_t count, double *out,
                  km_err *err);

#endif
