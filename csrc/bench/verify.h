/* bench/verify.h: whether results are right: against a reference in float64. */
#ifndef KERNMILL_BENCH_VERIFY_H
#define KERNMILL_BENCH_VERIFY_H

#include "bench/torch_host.h"

/* The largest error of `got` against `want` (a contiguous float64 tensor of the same sizes), in
 * units in the last place of got's dtype: |got - want| / (epsilon * max(|want|, r)), r the root of
 * the mean of want's squares, so that what cancels to nearly nothing is held to the scale of its
 * tensor. Infinite where one is not finite and the other differs. Errors: KM_EFORMAT when the sizes
 * differ or a layout or dtype is not compared; KM_ENOMEM. */
int km_verify(const km_torch *t, km_torch_tensor got, km_torch_tensor want, double *error_ulp,
              km_err *err);

/* Overwrites all of a tensor's elements with NaN, or a pattern of bits in other types. */
int km_poison(const km_torch *t, km_torch_tensor tensor, km_err *err);

/* A number that changes when any byte of the tensor does (FNV-1a over 64-bit words). */
uint64_t km_tensor_hash(const km_torch *t, km_torch_tensor tensor);

#endif
