/* bench/gpu_checks.h: whether what was timed on a GPU was right, and was what it seemed to be.
 *
 * Looked for, beside results beyond the tolerance: results that depend on what stood in the
 * results' memory or on having seen the values; inputs or guards overwritten; in a chain, results
 * other than those of a call alone (a read before the predecessor's writes); a call that computes
 * results of other calls, or none when it runs alone; work that goes on when the call's stream is
 * done; memory that stays allocated; a part of the cache set aside; and a size the call was not
 * told before.
 *
 * What a call overwrites is held to the same: its copies are poisoned, and then brought back to the
 * inputs' values for those calls alone that are to be made. */
#ifndef KERNMILL_BENCH_GPU_CHECKS_H
#define KERNMILL_BENCH_GPU_CHECKS_H

#include "bench/cell_internal.h"

/* What the reference says of some inputs, in float64. */
typedef struct {
    km_torch_tensor *inputs; /* the wider copy; in the arena */
    km_torch_tensor results[KM_RETURNS_MAX];
    int count;
} km_gpu_reference;

/* Enqueues the copy and the call on the GPU's own stream. Errors: KM_ENOMEM; KM_ECHILD when the
 * reference fails. On error, too, it wants a release. */
int km_gpu_refer(km_gpu_cell *r, km_arena *a, const km_torch_tensor *inputs, km_gpu_reference *w,
                 km_err *err);
void km_gpu_refer_release(const km_gpu_cell *r, km_gpu_reference *w);

/* Compares all results of the walks in `kinds` (bits 1 << km_walk_kind) with the reference on the
 * inputs as they are now. Errors: KM_ECHILD when the reference or a kernel fails. */
int km_gpu_check_results(km_gpu_cell *r, unsigned kinds, km_err *err);

#define KM_ANY_CALL SIZE_MAX

/* Sets the state of the call (KM_ANY_CALL: of all, since it was one of them) after which inputs or
 * guards are not what they were; the inputs get new values then. `during`: what was done. */
int km_gpu_check_inputs(km_gpu_cell *r, size_t call, const char *during, km_err *err);

/* What can be looked for once the rounds are over. */
int km_gpu_check_all(km_gpu_cell *r, km_err *err);

/* The results of the first set's timed call, with values that the parent has just drawn, for the
 * auditor; the inputs keep them. Errors: KM_EIO, KM_ECHILD. */
int km_gpu_audit(km_gpu_cell *r, km_err *err);

/* New values: of the inputs, and of the sources from which a chain writes them. */
int km_gpu_renew(km_gpu_cell *r, bool same_sources, km_err *err);

#endif
