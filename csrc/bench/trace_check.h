/* bench/trace_check.h: the calls of an imported operator by the rule of those who wrote its
 * definition (bench/trace_rule.h), beside ours.
 *
 * A call is right only when both hold; the record has both verdicts. Theirs is tried on
 * KM_RULE_TRIALS sets of new inputs, on one where a result is large, against the definition's own
 * function on the same inputs, unwidened. */
#ifndef KERNMILL_BENCH_TRACE_CHECK_H
#define KERNMILL_BENCH_TRACE_CHECK_H

#include "bench/cell.h"
#include "bench/random.h"
#include "bench/trace_rule.h"

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
