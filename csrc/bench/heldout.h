/* bench/heldout.h: a size that no call was told: a cell whose first axis (of those that may
 * change) is changed by a number that is drawn after the libraries are loaded. */
#ifndef KERNMILL_BENCH_HELDOUT_H
#define KERNMILL_BENCH_HELDOUT_H

#include "bench/cell_internal.h"

/* Makes each call that takes part once on such a size, on either device, and sets the state of
 * those that are wrong there. A size that the reference does not take is left out. Errors:
 * KM_ENOMEM, KM_ECHILD. */
int km_heldout_check(km_arena *a, const km_torch *t, km_random *r, km_cell_result *out,
                     km_err *err);

#endif
