/* bench/cpu_sets.h: the sets of inputs of a cell on the CPU, in one region of memory: between any
 * two tensors, and at both ends, stands a guard of known bytes; and in the same way the copies that
 * a call is given of what it overwrites. (On a GPU: bench/sets.h.)
 *
 * Sets lie in random order: pages differ in speed by region, and calls walk over the sets at some
 * distance from each other, so that in order of memory each would have a region of its own. */
#ifndef KERNMILL_BENCH_CPU_SETS_H
#define KERNMILL_BENCH_CPU_SETS_H

#include "bench/random.h"
#include "bench/suite.h"
#include "bench/torch_host.h"

typedef struct {
    size_t count, inputs; /* sets; inputs a set */
    const km_suite_call
        *call; /* that overwrites these inputs; NULL: they are all of the operator's */
    km_torch_tensor *tensors; /* [count][inputs], in the arena */
    unsigned char *memory;
    size_t bytes;
    bool *is_input; /* [bytes / KM_CPU_LINE_BYTES]: lines of memory that are not are guards */
} km_cpu_sets;

#define KM_CPU_LINE_BYTES 64u /* the alignment of torch's own tensors */

/* How many sets of `bytes` exceed four times the last cache, whose size *cache_bytes becomes. */
size_t km_cpu_sets_count(double bytes, size_t *cache_bytes);

/* 0 .. count - 1, to be shuffled; NULL when memory ends. */
size_t *km_cpu_sets_order(km_arena *a, size_t count);

/* All inputs, or with `call` what it overwrites, without values. Errors: KM_ENOMEM, those of
 * km_input_layout. On error, too, it wants a release. */
int km_cpu_sets_make(km_arena *a, const km_torch *t, const km_cell *cell, const km_suite_call *call,
                     size_t count, km_random *r, km_cpu_sets *out, km_err *err);

/* Brings one set of copies back to what the inputs, `of`, are. */
void km_cpu_sets_refresh(const km_torch *t, const km_cpu_sets *copies, const km_cpu_sets *of,
                         size_t set);

/* Writes the guards anew. */
void km_cpu_sets_guard(km_cpu_sets *s);

/* Whether the guards are as they were. */
bool km_cpu_sets_are_whole(const km_cpu_sets *s);

void km_cpu_sets_release(const km_torch *t, km_cpu_sets *s);

#endif
