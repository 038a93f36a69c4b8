/* bench/cell.h: one cell of a suite measured on the CPU: every call in turns, then what was timed
 * is checked.
 *
 * Inputs stand in as many sets as exceed four times the last cache (KM_BENCH_SETS_MAX at most: a
 * small cell may stay in it, and the record has both numbers), which are walked in turn. In each
 * round every call is timed once, in random order; a sample is the time of one call, argument
 * handling, allocation of results and their release included, as a C caller has it. Afterwards the
 * results that the last round left are compared with a reference computed in float64 from a private
 * copy of the inputs; then the inputs get new values, the old results are poisoned, and one more
 * call on each set is compared the same way. */
#ifndef KERNMILL_BENCH_CELL_H
#define KERNMILL_BENCH_CELL_H

#include "bench/suite.h"
#include "bench/torch_host.h"
#include "record/interval.h"

typedef enum {
    KM_CALL_RIGHT,
    KM_CALL_WRONG,  /* beyond the tolerance: see error_ulp and why */
    KM_CALL_FAILED, /* torch raised: see why */
    KM_CALL_CHANGED_INPUTS
} km_call_state;

extern const char *const km_call_state_names[]; /* "right", "wrong", ... */

typedef struct {
    const km_suite_call *call;
    km_call_state state;
    const char *why;    /* one line, when it is not right */
    double error_ulp;   /* the largest, in units in the last place of the result's dtype */
    double *samples_us; /* [rounds], in the arena */
    double median_us;
    km_interval ratio;  /* its times over those of the first call of the suite; 95 % */
    km_verdict verdict; /* by the stricter interval of a look (record/interval.h) */
} km_call_result;

typedef struct {
    km_cell cell;
    double bytes, flops;
    size_t sets, rounds, calls_a_sample;
    size_t cache_bytes; /* of the last cache */
    uint64_t seed;
    uint32_t threads;
    km_call_result *results; /* [op->call_count] */
} km_cell_result;

typedef struct {
    double budget_s; /* for the rounds of one cell */
    double margin;   /* 0.01: smaller differences are none */
} km_bench_options;

/* Everything of the result is in `a`. Errors: KM_ENOMEM; KM_ECHILD when the reference fails. */
int km_cell_measure(km_arena *a, const km_torch *t, const km_cell *cell, const km_bench_options *o,
                    km_cell_result *out, km_err *err);

#endif
