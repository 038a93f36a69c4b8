/* bench/cell.h: one cell of a suite measured: every call in turns, then what was timed is checked.
 *
 * Inputs stand in as many sets as exceed four times the last cache (KM_BENCH_SETS_MAX at most: a
 * small cell may stay in it, and the record has both numbers), which are walked in turn. In each
 * round every call is timed once in every column (bench/judge.h), in random order.
 *
 * Calls that overwrite inputs are given copies of their own, new before each sample
 * (bench/overwrite.h). On the CPU that is done half a walk ahead, since what is copied is in the
 * cache; what the last half of a walk left is compared.
 *
 * On the CPU torch's threads are bound to their cores (OMP_PROC_BIND), and a sample is the time of
 * one call, argument handling, allocation of results and their release included, as a C caller has
 * it. On a GPU inputs get new values before each round, the cache is emptied before each cold
 * sample, and the yardsticks are timed among the calls; rounds in which the copy moved by more than
 * two parts in a hundred are kept in the record and not counted.
 *
 * Afterwards the results that the last round left (and those of a round that nobody knows before)
 * are compared with a reference computed in float64 from a private copy of the inputs; then the
 * inputs get new values, the old results are poisoned, and what one more walk leaves is compared
 * the same way. What else is looked for on a GPU: bench/gpu_checks.h. */
#ifndef KERNMILL_BENCH_CELL_H
#define KERNMILL_BENCH_CELL_H

#include <jansson.h>

#include "bench/audit.h"
#include "bench/judge.h"
#include "bench/nvml.h"
#include "bench/suite.h"
#include "bench/torch_host.h"
#include "bench/yardstick.h"

typedef enum {
    KM_CALL_RIGHT,
    KM_CALL_WRONG,  /* beyond the tolerance: see error_ulp and why */
    KM_CALL_FAILED, /* torch raised: see why */
    KM_CALL_CHANGED_INPUTS,
    KM_CALL_CHEATS,  /* right, but not timed as one would use it: see why */
    KM_CALL_MISSING, /* its package is not installed: see why */
} km_call_state;

extern const char *const km_call_state_names[]; /* "right", "wrong", ... */

typedef struct {
    const km_suite_call *call;
    km_call_state state;
    const char *why;      /* one line, when it is not right */
    const char *note;     /* what a reader should know though it is right; NULL: nothing */
    double error_ulp;     /* the largest, in units in the last place of the result's dtype */
    size_t nodes;         /* that a call leaves in a graph */
    const char **kernels; /* the names of those that are kernels, ends with NULL; NULL: unknown */
    double first_s;       /* the first call on a GPU, with what was compiled for it */
    km_column columns[KM_COLUMN_COUNT];
    const struct km_rule_result *rule; /* bench/trace_check.h; NULL: there is no other rule */
} km_call_result;

typedef struct {
    km_cell cell;
    double bytes, flops;
    size_t sets, rounds, calls_a_sample;
    size_t cache_bytes; /* of the last cache */
    uint64_t seed;
    uint32_t threads;
    bool holds_results; /* on the CPU: in the bench's memory, not in malloc's (result_memory.h) */
    double first_sample_us;  /* when the first was taken (km_now_us) */
    const km_gpu *gpu;       /* NULL: the CPU */
    km_call_result *results; /* [op->call_count] */
    /* on a GPU alone: */
    bool *discarded; /* [rounds] */
    size_t kept;     /* rounds that are not */
    km_column yards[KM_YARD_COUNT];
    const char *copy_shape, *copy_plain_shape;
    km_nvml_state least, most; /* clocks, temperature and power, over the rounds */
} km_cell_result;

/* Microseconds of a clock that nobody sets, the same in all processes. */
double km_now_us(void);

typedef struct {
    double budget_s;     /* for the rounds of one cell */
    double margin;       /* 0.01: smaller differences are none */
    const json_t *ended; /* calls that are not made, since they ended a process that made them in
                            this cell: { name: what was said }; NULL: none */
} km_bench_options;

/* Inputs, orders and the sizes that nobody knows follow from the seed. Results for the auditor are
 * left in `audit`. Everything of the result is in `a`. Errors: KM_ENOMEM; KM_ECHILD when the
 * reference fails. */
int km_cell_measure(km_arena *a, const km_torch *t, const km_cell *cell, const km_bench_options *o,
                    uint64_t seed, km_audit *audit, km_cell_result *out, km_err *err);

/* What no call can be faster than, in microseconds: the copy of as many bytes, or an empty kernel.
 * 0 where it was not measured. */
double km_cell_light_us(const km_cell_result *r);

#endif
