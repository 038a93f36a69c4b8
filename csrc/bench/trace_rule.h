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
 * and wants a share of each result in bounds, and all of it finite. A call is right only when both
 * hold; the record has both verdicts. Theirs is tried on KM_RULE_TRIALS sets of new inputs, on one
 * where a result is large. */
#ifndef KERNMILL_BENCH_TRACE_RULE_H
#define KERNMILL_BENCH_TRACE_RULE_H

#include "bench/cell.h"
#include "bench/random.h"
#include "bench/trace.h"

#define KM_RULE_TRIALS 3

typedef enum {
    KM_RULE_RIGHT,
    KM_RULE_NUMERICAL, /* out of bounds */
    KM_RULE_SHAPE,
    KM_RULE_DTYPE,
    KM_RULE_FAILED,  /* it raised, or what it returns cannot be compared */
    KM_RULE_UNTRIED, /* the definition's own function raised, or the call took no part */
} km_rule_verdict;

extern const char *const km_rule_verdict_names[]; /* "right", "numerical", ... */

/* One result compared; starts as zero. */
typedef struct {
    double max_absolute, max_relative;
    size_t count, beyond;
    bool nan, inf; /* in either of the two */
    bool something, something_wanted;
} km_rule_sum;

typedef struct km_rule_result {
    km_rule_verdict verdict;
    const char *why;                   /* when it is not right */
    double max_absolute, max_relative; /* over all results and trials; of what is finite */
    double matched;                    /* the least share in bounds */
    bool nan, inf;
    int trials;
    km_call_state ours; /* by all that is ours alone */
    const char *ours_why;
} km_rule_result;

/* Adds `count` elements of a result. */
void km_rule_add(km_rule_sum *s, km_trace_format format, const km_trace_bounds *b,
                 const double *got, const double *want, size_t count);

double km_rule_matched(const km_rule_sum *s);
bool km_rule_holds(const km_rule_sum *s, km_trace_format format, const km_trace_bounds *b);

/* Tries the rule of the cell's operator on each call that takes part, fills `rule` of every call,
 * and sets the state of those for which it does not hold; nothing for an operator without a trace.
 * On either device. Errors: KM_ENOMEM, KM_ECHILD when a kernel failed. */
int km_rule_check(km_arena *a, const km_torch *t, km_random *r, km_cell_result *out, km_err *err);

/* What is left of a cell of an imported operator whose reference failed: no call can be judged, and
 * each says why. False for another cell, or when the failure came before any call. */
bool km_rule_without_reference(km_arena *a, km_cell_result *out, const char *why);

/* { "float64": { "state", "why", "error_ulp", "tolerance_ulp" },
 *   "trace": { "state", "why", "max_absolute_error", "max_relative_error", "matched_ratio", "nan",
 *              "inf", "trials" } } */
json_t *km_rule_json(const km_call_result *c, double tolerance);

#endif
