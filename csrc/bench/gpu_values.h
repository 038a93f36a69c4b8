/* bench/gpu_values.h: what bench/inputs.h and bench/verify.h do, for tensors on a GPU. All runs on
 * g->stream; results are found in the scratch word `word`, and are added to what stands there. */
#ifndef KERNMILL_BENCH_GPU_VALUES_H
#define KERNMILL_BENCH_GPU_VALUES_H

#include "bench/gpu.h"
#include "bench/suite.h"

/* Values of an input's distribution, a function of the seed alone. Errors here and below:
 * KM_ECHILD. */
int km_gpu_fill(const km_gpu *g, const km_suite_input *in, uint64_t to, int dtype, uint64_t count,
                uint64_t seed, km_err *err);

/* To float64. */
int km_gpu_widen(const km_gpu *g, uint64_t to, uint64_t from, int dtype, uint64_t count,
                 km_err *err);

/* The sum of the squares of float64 values, as a double. */
int km_gpu_squares(const km_gpu *g, uint64_t values, uint64_t count, size_t word, km_err *err);

/* The largest error in units in the last place against float64 values whose squares' sum stands in
 * the word `squares`: the bits of a double. */
int km_gpu_compare(const km_gpu *g, uint64_t got, int dtype, uint64_t want, uint64_t count,
                   size_t squares, size_t word, km_err *err);

/* A number that changes with any byte. */
int km_gpu_hash(const km_gpu *g, uint64_t from, uint64_t bytes, size_t word, km_err *err);

#endif
