/* launch.h: what needs an attribute of a launch, on float32 CUDA tensors. All return 0 or
 * KM_FAILED. */
#ifndef LAUNCH_H
#define LAUNCH_H

#include <kernmill/op.h>

/* y[i] = x[count - 1 - i], through the shared memory of one block. */
int reverse_cuda(km_call *c, float *y, const float *x, int64_t count);

/* y[b] = the sum of the rows of x of all blocks in b's cluster; x is [blocks, 256]. */
int cluster_sum_cuda(km_call *c, float *y, const float *x, unsigned blocks, unsigned cluster);

/* y[i] += 1, `steps` times, each step a launch that takes its time before it writes. */
int slow_steps_cuda(km_call *c, float *y, int64_t count, int64_t steps, bool programmatic);

#endif
