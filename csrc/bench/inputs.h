/* bench/inputs.h: the inputs of a cell as a suite describes them. */
#ifndef KERNMILL_BENCH_INPUTS_H
#define KERNMILL_BENCH_INPUTS_H

#include "bench/random.h"
#include "bench/suite.h"
#include "bench/torch_host.h"

/* New tensors for the op's inputs, in its order, without values; `out` has room for input_count.
 * With `widened`, floating types become float64. On error none is left. Errors: KM_ENOMEM,
 * KM_ELIMIT. */
int km_inputs_make(const km_torch *t, const km_cell *cell, bool widened, km_torch_tensor *out,
                   km_err *err);

/* Values from the inputs' distributions, rounded to their dtypes. Errors: KM_ENOMEM. */
int km_inputs_fill(const km_torch *t, const km_cell *cell, const km_torch_tensor *inputs,
                   km_random *r, km_err *err);

/* The same values in wider tensors: exactly. */
void km_inputs_widen(const km_torch *t, const km_cell *cell, const km_torch_tensor *from,
                     const km_torch_tensor *to);

void km_inputs_delete(const km_torch *t, const km_cell *cell, const km_torch_tensor *inputs);

#endif
