/* bench/trace_suite.h: an imported definition as an operator of a suite, as text. */
#ifndef KERNMILL_BENCH_TRACE_SUITE_H
#define KERNMILL_BENCH_TRACE_SUITE_H

#include "bench/trace_bind.h"
#include "core/str.h"

/* Workloads of a definition whose numbers (inputs without a shape) are the same: one operator. */
typedef struct {
    const char *name; /* the operator's */
    const km_trace_problem *problem;
    json_t *workloads; /* borrowed, at least one */
    const km_suite_call *calls;
    size_t call_count;
} km_trace_operator;

/* Adds [op.NAME] with inputs, trace and calls, the definition's function first, as "reference" in
 * references/<definition>.py. */
void km_trace_operator_text(km_str *s, const km_trace_operator *o);

/* What to add to a file of --bind for a definition that is not in it. */
void km_trace_binding_text(km_str *s, const km_trace_problem *p);

#endif
