/* bench/trace_bind.h: which calls compute what an imported definition says.
 *
 *     [bind.3b51...64 hex digits]          # of the definition's meaning (bench/trace_problem.h)
 *     name = "rmsnorm_h4096"               # for people; never compared
 *
 *     [bind.3b51....calls.kernmill]        # as in a suite; arguments name the definition's inputs
 *     library = "kernmill_rmsnorm"
 *     schema = "kernmill_rmsnorm::rms_norm(Tensor x, Tensor? weight, float eps) -> Tensor"
 *     arguments = ["hidden_states", "weight", 1e-5]
 *
 * `overwrites` and `results` (bench/overwrite.h) name the definition's inputs, too, and count among
 * its outputs. An input that is a number of Python's is named, too, where the schema wants a
 * number: each workload has its value. A call of Python's names a module, since a file would count
 * from the suite.
 */
#ifndef KERNMILL_BENCH_TRACE_BIND_H
#define KERNMILL_BENCH_TRACE_BIND_H

#include "bench/trace_problem.h"

typedef struct {
    km_suite file; /* arena and path: what calls are read with */
    const km_toml *entries;
} km_bindings;

/* `path` NULL: there are none. Errors: those of km_toml_read; KM_EFORMAT with the place. On error
 * *b is released. */
int km_bindings_read(km_bindings *b, const char *path, km_err *err);

void km_bindings_release(km_bindings *b);

/* The calls bound to a definition, for an operator of the suite: `count` of them, in b's arena,
 * checked with the sizes and numbers of one of its workloads. Errors: KM_EFORMAT with the place:
 * an argument names no input, a schema is none, a call is named like the reference. */
int km_bindings_find(km_bindings *b, const km_trace_problem *p, const json_t *workload,
                     km_suite_call **out, size_t *count, km_err *err);

#endif
