/* bench/verify.h: whether results are right: against a reference in float64. */
#ifndef KERNMILL_BENCH_VERIFY_H
#define KERNMILL_BENCH_VERIFY_H

#include "bench/torch_host.h"

/* A tensor's memory. */
typedef struct {
    void *data;
    int64_t count, ndim;
    const int64_t *sizes, *strides;
    int dtype; /* km_dtype; 0: one that has no name here */
} km_view;

km_view km_view_of(const km_torch *t, km_torch_tensor tensor);

/* Whether it is contiguous, and of a dtype that has a name. */
bool km_view_is_dense(const km_view *v);

/* Elements from the first to the last, gaps included, and their bytes. */
uint64_t km_view_extent(const km_view *v);
size_t km_view_bytes(const km_view *v);

/* NULL when the two can be compared (km_verify), else the reason. */
const char *km_view_mismatch(const km_view *got, const km_view *want);

/* Whether any of the results (those before the first NULL) begins within the memory of one of
 * `count` inputs: it cannot be poisoned without changing what the next call is given. */
bool km_shares_memory(const km_torch *t, const km_torch_tensor *results,
                      const km_torch_tensor *inputs, size_t count);

/* NULL when the two have one dtype, else what differs, in the arena: an error counts in units of
 * the result's dtype, so that a narrower one would be right by itself. `like`: what the reference
 * returns for the same inputs; NULL: nobody knows. */
const char *km_dtype_mismatch(km_arena *a, const km_torch *t, km_torch_tensor got,
                              km_torch_tensor like);

/* The largest error of `got` against `want` (a contiguous float64 tensor of the same sizes), in
 * units in the last place of got's dtype: |got - want| / (epsilon * max(|want|, r)), r the root of
 * the mean of want's squares, so that what cancels to nearly nothing is held to the scale of its
 * tensor. Infinite where one is not finite and the other differs. Errors: KM_EFORMAT when the sizes
 * differ or a layout or dtype is not compared; KM_ECHILD when a kernel failed. */
int km_verify(const km_torch *t, km_torch_tensor got, km_torch_tensor want, double *error_ulp,
              km_err *err);

/* Overwrites all of a tensor's elements with NaN, or a pattern of bits in other types; on a GPU: on
 * its stream. */
int km_poison(const km_torch *t, km_torch_tensor tensor, km_err *err);

/* On the CPU alone: a number that changes when any byte of the tensor does (FNV-1a over 64-bit
 * words). */
uint64_t km_tensor_hash(const km_torch *t, km_torch_tensor tensor);

#endif
