/* bench/schema.h: a suite's calls against the schemas they name: what each argument is, before
 * anything runs. torch gives a C program no schema, and a call with the wrong layout is undefined:
 * so the suite states it, and the reader of kernmill/op.h takes it apart. */
#ifndef KERNMILL_BENCH_SCHEMA_H
#define KERNMILL_BENCH_SCHEMA_H

#include "bench/suite.h"

/* Fills call->signature of every call, and checks that arguments, reference and expressions make
 * sense in every cell. Errors: KM_EFORMAT with the place. */
int km_schema_check_op(km_suite *s, km_suite_op *op, km_err *err);

/* The same for one call of the operator, which stands in `table`. */
int km_schema_check_call(km_suite *s, const km_suite_op *op, km_suite_call *call,
                         const km_toml *table, km_err *err);

/* The input of that name, or NULL. */
const km_suite_input *km_suite_find_input(const km_suite_op *op, const char *name);

#endif
