/* bench/trace_values.h: how the inputs of an imported definition are drawn.
 *
 * FlashInfer draws floats normally, an int8 over its whole range, other integers from -1024 to 1023
 * and a bool by a coin. SOL-ExecBench does so, too, but for inputs whose names it knows: a norm's
 * weights are ones and its bias zeros, with which a kernel that forgets either is right; ours are
 * uniform, 0.5 to 1.5 and -0.5 to 0.5. */
#ifndef KERNMILL_BENCH_TRACE_VALUES_H
#define KERNMILL_BENCH_TRACE_VALUES_H

#include "bench/trace_problem.h"
#include "core/str.h"

/* Adds `, values = "uniform", low = 0.5, high = 1.5`, or nothing for what suites draw anyway. */
void km_trace_values_text(km_str *s, const km_trace_problem *p, const km_trace_tensor *input);

/* Why no distribution of a suite's is like this input's values (a causal mask, say); NULL: one is.
 */
const char *km_trace_values_problem(const km_trace_problem *p, const km_trace_tensor *input);

#endif
