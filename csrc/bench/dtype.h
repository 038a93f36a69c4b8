/* bench/dtype.h: element types by name, and float64 from and to each: exact widening, and rounding
 * to nearest, ties to even, as IEEE 754 has it. A dtype here is a number of km_dtype
 * (kernmill/tensor.h), whose header is C alone. */
#ifndef KERNMILL_BENCH_DTYPE_H
#define KERNMILL_BENCH_DTYPE_H

#include <stddef.h>

/* "bfloat16"; 0 for another word, or a type that suites do not use (float8). */
int km_dtype_named(const char *name);

/* `count` elements at `from` as doubles, and back. Integers are truncated; a bool is 0 or 1. */
void km_dtype_widen(int dtype, const void *from, double *to, size_t count);
void km_dtype_narrow(int dtype, const double *from, void *to, size_t count);

/* The distance between 1 and the next number: 2^-7 for bfloat16; 0 for integers. */
double km_dtype_epsilon(int dtype);

#endif
