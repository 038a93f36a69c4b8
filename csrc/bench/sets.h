/* bench/sets.h: the sets of inputs of a cell on a GPU, in one region of memory: between any two
 * tensors, and at both ends, stands a guard of known bytes. Beside it, hidden from the calls, a
 * source for each input, from which a chain's writer takes its values. In the same way stand the
 * copies that a call is given of what it overwrites; their sources are the inputs. */
#ifndef KERNMILL_BENCH_SETS_H
#define KERNMILL_BENCH_SETS_H

#include "bench/suite.h"
#include "bench/torch_host.h"

#define KM_GPU_INPUTS_MAX 8 /* of an operator; a writer's arguments */

typedef struct {
    const km_cell *cell;
    const km_suite_call
        *call;            /* that overwrites these inputs; NULL: they are all of the operator's */
    size_t count, inputs; /* sets; inputs a set */
    uint64_t bytes[KM_GPU_INPUTS_MAX];
    uint64_t elements[KM_GPU_INPUTS_MAX];
    km_torch_tensor *tensors;       /* [count][inputs], in the arena */
    uint64_t *addresses, *sources;  /* the same; of copies, `sources` are the inputs */
    uint64_t memory, source_memory; /* what is allocated */
    uint64_t guards;                /* the sum that whole guards have */
} km_sets;

/* Without values. Errors: KM_ENOMEM, KM_EENV, KM_ELIMIT, those of km_input_layout. On error, too,
 * it wants a release. */
int km_sets_make(km_arena *a, const km_torch *t, const km_cell *cell, size_t count, km_sets *out,
                 km_err *err);

/* Copies of what `call` overwrites, without values, for the first `count` sets of `of`, which must
 * outlive them. Errors as above. */
int km_sets_make_copies(km_arena *a, const km_torch *t, const km_sets *of,
                        const km_suite_call *call, size_t count, km_sets *out, km_err *err);

/* Launches, on `stream`, what brings `count` sets of copies from `first` on back to what the inputs
 * are; nothing where there are no copies. */
int km_sets_refresh(const km_gpu *g, const km_sets *copies, size_t first, size_t count,
                    km_cu_stream stream, km_err *err);

/* New values in all inputs, and in all sources: functions of the seeds. */
int km_sets_fill(const km_gpu *g, const km_sets *s, uint64_t seed, uint64_t source_seed,
                 km_err *err);

/* One number for the values of each input over all sets: `out` has room for s->inputs. */
int km_sets_hash(const km_gpu *g, const km_sets *s, uint64_t *out, km_err *err);

/* Whether the guards are as they were. */
int km_sets_check_guards(const km_gpu *g, const km_sets *s, bool *whole, km_err *err);

/* Launches, on `stream`, the kernel that writes all inputs of a set from their sources; those of
 * which there are `copies` (NULL: of none) there. */
int km_sets_write(const km_gpu *g, const km_sets *s, const km_sets *copies, size_t set,
                  km_cu_stream stream, km_err *err);

void km_sets_release(const km_torch *t, km_sets *s);

#endif
