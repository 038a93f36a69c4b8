/* The operator of lab_rmsnorm: schema and argument checks. */
#include "../rmsnorm.h"

static int rms_norm(km_call *c)
{
    const km_tensor *x = km_arg_tensor(c, 0);
    const km_tensor *weight = km_arg_tensor(c, 1);
    rmsnorm r = { .eps = (float)km_arg_float(c, 2) };

    KM_EXPECT(c, 0, x->dtype == KM_FLOAT32 && x->ndim == 2, "a float32 tensor [rows, columns]");
    KM_EXPECT(c, 0, x->sizes[1] % 4 == 0, "columns in fours");
    KM_EXPECT(c, 1,
              weight->dtype == KM_FLOAT32 && weight->ndim == 1 && weight->sizes[0] == x->sizes[1],
              "a float32 tensor [columns]");
    x = km_contiguous(c, x);
    weight = x ? km_contiguous(c, weight) : NULL;
    km_tensor *y = weight ? km_empty_like(c, x) : NULL;
    if (!y)
        return KM_FAILED;
    r.y = y->data;
    r.x = x->data;
    r.weight = weight->data;
    r.rows = x->sizes[0];
    r.columns = x->sizes[1];
#ifdef CUDA_KERNEL
    if (x->device_type == KM_CUDA && x->numel > 0 && rmsnorm_cuda(c, &r) < 0)
        return KM_FAILED;
#endif
    if (x->device_type == KM_CPU)
        rmsnorm_cpu(&r);
    return km_return(c, 0, y);
}
KM_KERNEL(rms_norm)

static const km_op ops[] = {
    {
        "rms_norm(Tensor x, Tensor weight, float eps) -> Tensor",
        .cpu = &rms_norm_kernel,
#ifdef CUDA_KERNEL
        .cuda = &rms_norm_kernel,
#endif
    },
};
KM_OPS(ops)
