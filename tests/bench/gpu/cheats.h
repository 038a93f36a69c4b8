/* cheats.h: ways to compute y = -x, float32 on a GPU, honest and other. All return 0 or KM_FAILED.
 */
#ifndef CHEATS_H
#define CHEATS_H

#include <kernmill/op.h>

typedef int km_cheat(km_call *c, const km_tensor *x, km_tensor *y);

km_cheat honest_cuda, early_cuda, twice_cuda;
km_cheat races_cuda, sniffs_cuda, remembers_cuda, replays_cuda, tires_cuda, spills_cuda,
    zeroes_cuda;
km_cheat nothing_cuda, coarse_cuda, shapes_cuda, batches_cuda, skips_cuda, aside_cuda, decoy_cuda;
km_cheat fails_cuda, defers_cuda, leaks_cuda, persists_cuda, borrows_cuda, unpacks_cuda;

/* Each block takes at least so many clock cycles of its multiprocessor. */
int spins_cuda(km_call *c, const km_tensor *x, km_tensor *y, int64_t cycles);

#endif
