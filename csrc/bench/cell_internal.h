/* bench/cell_internal.h: what the parts of a cell's measurement share; bench/cell.h is the
 * interface. */
#ifndef KERNMILL_BENCH_CELL_INTERNAL_H
#define KERNMILL_BENCH_CELL_INTERNAL_H

#include "bench/arguments.h"
#include "bench/audit.h"
#include "bench/cell.h"
#include "bench/random.h"
#include "bench/walk.h"

/* The first reason is kept, but for one that ends the call's part in the measurement. `why` may
 * have several lines, of which the first is kept. */
void km_set_state(km_arena *a, km_call_result *c, km_call_state state, const char *why);

/* Its calls' results, none of them measured. Those that ended a process have failed. Errors:
 * KM_ENOMEM. */
int km_cell_begin(km_arena *a, const km_bench_options *o, km_cell_result *out, km_err *err);

/* Whether the call takes part: it neither fails nor spoils what the others are given. */
bool km_takes_part(const km_call_result *c);

/* km_prepare for a call that is measured; one of Python's that cannot be made ready costs its own
 * state alone. */
int km_prepare_for(km_arena *a, const km_torch *t, const km_cell *cell, km_call_result *c,
                   const km_torch_tensor *inputs, km_prepared *out, km_err *err);

/* A cell under measurement on a GPU. */
typedef struct {
    km_arena *a;
    const km_torch *t;
    const km_gpu *g;
    const km_cell *cell;
    const km_bench_options *o;
    km_cell_result *out;
    km_random random;
    km_sets sets;
    uint64_t input_hashes[KM_GPU_INPUTS_MAX];
    km_walker *walkers; /* [calls] */
    km_yardsticks yardsticks;
    km_nvml nvml;
    km_audit *audit;
    double *again_us; /* [calls][KM_BENCH_ROUNDS_MAX]: cold samples of values that were seen */
} km_gpu_cell;

/* Waits until the call's kernels are done. Errors: KM_ECHILD with its name: a kernel that fails
 * ends all that the process can do on the GPU. */
int km_gpu_wait_for(km_gpu_cell *r, size_t call, km_err *err);

/* Fills out->sets: as many as exceed four times the cache and make a replay long against its start,
 * and fit. Each call is made once, and fills its first_s. Errors: KM_EENV, KM_ECHILD, KM_ENOMEM. */
int km_gpu_choose_sets(km_gpu_cell *r, km_err *err);

int km_cell_measure_gpu(km_arena *a, const km_torch *t, const km_cell *cell,
                        const km_bench_options *o, km_audit *audit, km_cell_result *out,
                        km_err *err);

#endif
