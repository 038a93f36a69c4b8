/* bench/trace_rule.h: the other rule for right results: that of those who wrote the definition.
 *
 * Ours compares every timed result with float64 in units in the last place. Theirs compares a call
 * with the definition's own function on the same inputs, element by element, by absolute and
 * relative error:
 *
 *     flashinfer  an element is in bounds when its absolute error is at most atol, or its relative
 *                 error (over |want| + 1e-8) at most rtol
 *     sol         when |got - want| <= atol + rtol * |want|; nothing but zeros is wrong where the
 *                 reference has others; relative errors are over max(|want|, atol)
 *
 * and wants a share of each result in bounds, and all of it finite. Which calls it is held against:
 * bench/trace_check.h. */
#ifndef KERNMILL_BENCH_TRACE_RULE_H
#define KERNMILL_BENCH_TRACE_RULE_H

#include "bench/trace.h"

/* One result compared; starts as zero. */
typedef struct {
    double max_absolute, max_relative;
    size_t count, beyond;
    bool nan, inf; /* in either of the two */
    bool something, something_wanted;
} km_rule_sum;

/* Adds `count` elements of a result. */
void km_rule_add(km_rule_sum *s, km_trace_format format, const km_trace_bounds *b,
                 const double *got, const double *want, size_t count);

double km_rule_matched(const km_rule_sum *s);
bool km_rule_holds(const km_rule_sum *s, km_trace_format format, const km_trace_bounds *b);

#endif
