/* bench/inputs.h: the inputs of a cell as a suite describes them. */
#ifndef KERNMILL_BENCH_INPUTS_H
#define KERNMILL_BENCH_INPUTS_H

#include "bench/random.h"
#include "bench/suite.h"
#include "bench/torch_host.h"

/* The cell's i-th input in memory. Errors: KM_EFORMAT when a size or a stride is none; KM_ELIMIT
 * beyond KM_DIMENSIONS_MAX. */
int km_input_layout(const km_cell *cell, size_t i, km_layout *out, km_err *err);

/* Its dtype; `widened`: float64 for a floating type. */
int km_input_dtype(const km_cell *cell, size_t i, bool widened);

/* New tensors for the op's inputs, in its order, without values; `out` has room for input_count.
 * With `widened`, floating types become float64. On error none is left. Errors: KM_ENOMEM,
 * KM_ELIMIT. */
int km_inputs_make(const km_torch *t, const km_cell *cell, bool widened, km_torch_tensor *out,
                   km_err *err);

/* One of them. */
int km_input_make(const km_torch *t, const km_cell *cell, size_t i, bool widened,
                  km_torch_tensor *out, km_err *err);

/* The values of one tensor, gaps included, in another of its layout and dtype. On a GPU: on its
 * stream. Errors: KM_ECHILD. */
int km_input_copy(const km_torch *t, km_torch_tensor from, km_torch_tensor to, km_err *err);

/* Values for `sets` sets of inputs from the inputs' distributions, rounded to their dtypes, the
 * gaps between rows included: what a call reads there by mistake must not be zero. Errors:
 * KM_ENOMEM, KM_ECHILD. */
int km_inputs_fill(const km_torch *t, const km_cell *cell, const km_torch_tensor *inputs,
                   size_t sets, km_random *r, km_err *err);

/* The same values in wider tensors: exactly. On a GPU: on its stream. Errors: KM_ECHILD. */
int km_inputs_widen(const km_torch *t, const km_cell *cell, const km_torch_tensor *from,
                    const km_torch_tensor *to, km_err *err);

void km_inputs_delete(const km_torch *t, const km_cell *cell, const km_torch_tensor *inputs);

#endif
