/* The operators of kernmill_launch: schemas and argument checks. */
#include "../launch.h"

#include <kernmill/launch.h>

static int reversed(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);

    KM_EXPECT(c, 0, x->dtype == KM_FLOAT32 && x->ndim == 1 && x->numel < 1 << 20,
              "a float32 vector of fewer than 2^20 elements");
    x = km_contiguous(c, x);
    km_tensor *y = x ? km_empty_like(c, x) : NULL;
    if (!y || reverse_cuda(c, y->data, x->data, x->numel) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}
KM_KERNEL(reversed)

static int cluster_sum(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    int64_t cluster = km_arg_int(c, 1);

    KM_EXPECT(c, 0, x->dtype == KM_FLOAT32 && x->ndim == 2 && x->sizes[1] == 256,
              "a float32 tensor of shape [blocks, 256]");
    KM_EXPECT(c, 1, cluster >= 0 && cluster <= 16, "0 to 16");
    x = km_contiguous(c, x);
    km_tensor *y = x ? km_empty(c, 1, x->sizes, KM_FLOAT32, x) : NULL;
    if (!y || cluster_sum_cuda(c, y->data, x->data, (unsigned)x->sizes[0], (unsigned)cluster) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}
KM_KERNEL(cluster_sum)

static int slow_steps(km_call *c)
{
    const km_tensor *y = km_arg_tensor(c, 0);

    KM_EXPECT(c, 0, y->dtype == KM_FLOAT32 && y->ndim == 1 && y->numel < 1 << 20,
              "a float32 vector of fewer than 2^20 elements");
    return slow_steps_cuda(c, y->data, y->numel, km_arg_int(c, 1), km_arg_bool(c, 2));
}
KM_KERNEL(slow_steps)

/* Says what km_call_device knows, as an error: operators return tensors only. */
static int device(km_call *c)
{
    const km_device *d = km_call_device(c);

    if (!d)
        return KM_FAILED;
    return km_error(c, "sm_%d, %d multiprocessors, %d bytes", d->sm, d->sm_count, d->shared_bytes);
}
KM_KERNEL(device)

static const km_op ops[] = {
    { "reversed(Tensor x) -> Tensor", .cuda = &reversed_kernel },
    { "cluster_sum(Tensor x, int cluster) -> Tensor", .cuda = &cluster_sum_kernel },
    { "slow_steps(Tensor(a!) y, int steps, bool programmatic) -> ()", .cuda = &slow_steps_kernel },
    { "device(Tensor x) -> ()", .cuda = &device_kernel },
};
KM_OPS(ops)
