/* The operators of kernmill_layernorm: schemas, argument checks, and the choice of backend. The
 * only file that knows torch; what the numbers mean is in layernorm.h.
 *
 * The public names (without a leading underscore) get autograd in Python, when the package is
 * imported. The others are raw: no autograd, and those that write to an argument do not bump its
 * version. */
#include <math.h>

#include "../layernorm.h"

#define NORM_ARGUMENTS "Tensor? weight, Tensor? bias, float eps"
#define NORM_DEFAULTS  "Tensor? weight=None, Tensor? bias=None, float eps=1e-5"

static int take_x(km_call *c, int i, const km_tensor **x)
{
    *x = km_arg_tensor(c, i);
    KM_EXPECT(c, i, km_is_floating(*x) && (*x)->ndim >= 1,
              "a float32, float16 or bfloat16 tensor of at least one dimension");
    return 0;
}

/* A tensor like x: same sizes, same dtype. */
static int take_like(km_call *c, int i, const km_tensor *x, const km_tensor **out)
{
    *out = km_arg_tensor(c, i);
    KM_EXPECT(c, i, km_same_sizes(*out, x) && (*out)->dtype == x->dtype,
              "a %s tensor with the sizes of x, whose last is %lld", km_dtype_name(x->dtype),
              (long long)km_size(x, -1));
    return 0;
}

/* The dense data of the weight or bias in argument `i` (NULL for None). */
static int take_vector(km_call *c, int i, const km_tensor *x, const void **data, km_dtype *dtype)
{
    const km_tensor *w = km_arg_optional(c, i);

    *data = NULL;
    if (!w)
        return 0;
    KM_EXPECT(c, i,
              w->ndim == 1 && w->sizes[0] == km_size(x, -1) &&
                  (w->dtype == x->dtype || w->dtype == KM_FLOAT32),
              "[%lld] in %s%s, or None", (long long)km_size(x, -1), km_dtype_name(x->dtype),
              x->dtype == KM_FLOAT32 ? "" : " or float32");
    w = km_contiguous(c, w);
    if (!w)
        return KM_FAILED;
    *data = w->data;
    *dtype = w->dtype;
    return 0;
}

/* Arguments `i` (weight) and `i + 1` (bias), and the dtype that both have. */
static int take_weights(km_call *c, int i, const km_tensor *x, const void **weight,
                        const void **bias, km_dtype *dtype)
{
    km_dtype bias_dtype = x->dtype;

    *dtype = x->dtype;
    if (take_vector(c, i, x, weight, dtype) < 0 || take_vector(c, i + 1, x, bias, &bias_dtype) < 0)
        return KM_FAILED;
    if (!*weight)
        *dtype = bias_dtype;
    KM_EXPECT(c, i + 1, !*bias || bias_dtype == *dtype, "%s, as the weight has",
              km_dtype_name(*dtype));
    return 0;
}

static int take_eps(km_call *c, int i, float *out)
{
    double eps = km_arg_float(c, i);

    KM_EXPECT(c, i, isfinite(eps) && eps >= 0, "a finite number, at least 0");
    *out = (float)eps;
    return 0;
}

static int take_input(km_call *c, const km_tensor *t, layer_norm_input *out)
{
    km_rows rows;

    if (km_rows_of(c, t, &rows) < 0)
        return KM_FAILED;
    *out = (layer_norm_input){ rows.data, rows.stride };
    return 0;
}

static int take_output(km_call *c, int i, const km_tensor *t, layer_norm_output *out,
                       km_tensor **copy)
{
    km_rows rows;

    if (km_rows_into(c, i, t, &rows, copy) < 0)
        return KM_FAILED;
    *out = (layer_norm_output){ rows.data, rows.stride };
    return 0;
}

static layer_norm_output dense_output(const km_tensor *t)
{
    return (layer_norm_output){ t->data, km_size(t, -1) };
}

static int64_t row_count(const km_tensor *x)
{
    int64_t rows = 1;

    for (int64_t i = 0; i + 1 < x->ndim; i++)
        rows *= x->sizes[i];
    return rows;
}

static int forward(km_call *c, const km_tensor *x, layer_norm_forward *f)
{
    f->rows = row_count(x);
    f->columns = km_size(x, -1);
    f->dtype = x->dtype;
    if (x->numel == 0)
        return 0;
#ifdef CUDA_KERNEL
    if (x->device_type == KM_CUDA)
        return layer_norm_forward_cuda(c, f);
#else
    (void)c;
#endif
    layer_norm_forward_cpu(f);
    return 0;
}

/* A new float32 tensor with a value for each row: x's sizes without the last. */
static km_tensor *new_statistic(km_call *c, const km_tensor *x, float **data)
{
    km_tensor *t = km_empty(c, x->ndim - 1, x->sizes, KM_FLOAT32, x);

    *data = t ? t->data : NULL;
    return t;
}

/* Arguments x, weight, bias, eps from position `i`. */
static int take_norm(km_call *c, int i, const km_tensor **x, layer_norm_forward *f)
{
    *f = (layer_norm_forward){ 0 };
    if (take_x(c, i, x) < 0 ||
        take_weights(c, i + 1, *x, &f->weight, &f->bias, &f->weight_dtype) < 0 ||
        take_eps(c, i + 3, &f->eps) < 0)
        return KM_FAILED;
    return take_input(c, *x, &f->x);
}

static int layer_norm(km_call *c)
{
    layer_norm_forward f;
    const km_tensor *x;
    km_tensor *y;

    if (take_norm(c, 0, &x, &f) < 0 || !(y = km_empty_like(c, x)))
        return KM_FAILED;
    f.y = dense_output(y);
    if (forward(c, x, &f) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}
KM_KERNEL(layer_norm)
KM_KERNEL_AS(layer_norm_fwd, layer_norm)

static int layer_norm_train(km_call *c)
{
    layer_norm_forward f;
    const km_tensor *x;
    km_tensor *y, *mean, *rstd;

    if (take_norm(c, 0, &x, &f) < 0 || !(y = km_empty_like(c, x)) ||
        !(mean = new_statistic(c, x, &f.mean)) || !(rstd = new_statistic(c, x, &f.rstd)))
        return KM_FAILED;
    f.y = dense_output(y);
    if (forward(c, x, &f) < 0 || km_return(c, 0, y) < 0 || km_return(c, 1, mean) < 0)
        return KM_FAILED;
    return km_return(c, 2, rstd);
}
KM_KERNEL(layer_norm_train)
KM_KERNEL_AS(layer_norm_fwd_stats, layer_norm_train)

/* (Tensor x, float eps) -> (Tensor mean, Tensor rstd): what a backward needs when the forward did
 * not keep it. */
static int layer_norm_stats(km_call *c)
{
    layer_norm_forward f = { 0 };
    const km_tensor *x;
    km_tensor *mean, *rstd;

    if (take_x(c, 0, &x) < 0 || take_eps(c, 1, &f.eps) < 0 || take_input(c, x, &f.x) < 0 ||
        !(mean = new_statistic(c, x, &f.mean)) || !(rstd = new_statistic(c, x, &f.rstd)))
        return KM_FAILED;
    f.weight_dtype = x->dtype;
    if (forward(c, x, &f) < 0 || km_return(c, 0, mean) < 0)
        return KM_FAILED;
    return km_return(c, 1, rstd);
}
KM_KERNEL(layer_norm_stats)

/* (Tensor(a!) out, Tensor x, ...) */
static int layer_norm_out(km_call *c)
{
    layer_norm_forward f;
    const km_tensor *x, *out;
    km_tensor *copy;

    if (take_norm(c, 1, &x, &f) < 0 || take_like(c, 0, x, &out) < 0 ||
        take_output(c, 0, out, &f.y, &copy) < 0 || forward(c, x, &f) < 0)
        return KM_FAILED;
    return copy ? km_copy(c, out, copy) : 0;
}
KM_KERNEL(layer_norm_out)

/* (Tensor(a!) x, ...) */
static int layer_norm_inplace(km_call *c)
{
    layer_norm_forward f;
    const km_tensor *x;
    km_tensor *copy;

    if (take_norm(c, 0, &x, &f) < 0 || take_output(c, 0, x, &f.y, &copy) < 0 ||
        forward(c, x, &f) < 0)
        return KM_FAILED;
    return copy ? km_copy(c, x, copy) : 0;
}
KM_KERNEL(layer_norm_inplace)

/* Arguments x, residual, weight, bias, eps, residual_rounding. */
static int take_add_norm(km_call *c, const km_tensor **x, const km_tensor **residual,
                         layer_norm_forward *f)
{
    *f = (layer_norm_forward){ 0 };
    if (take_x(c, 0, x) < 0 || take_like(c, 1, *x, residual) < 0 ||
        take_weights(c, 2, *x, &f->weight, &f->bias, &f->weight_dtype) < 0 ||
        take_eps(c, 4, &f->eps) < 0 ||
        km_arg_choice(c, 5, "rounded", "unrounded", &f->round_sum) < 0)
        return KM_FAILED;
    if (take_input(c, *x, &f->x) < 0)
        return KM_FAILED;
    return take_input(c, *residual, &f->residual);
}

/* y and sum; mean and rstd too when the schema has four results. */
static int fused_add_layer_norm(km_call *c)
{
    bool train = km_result_count(c) == 4;
    const km_tensor *x, *residual;
    km_tensor *y, *sum, *mean = NULL, *rstd = NULL;
    layer_norm_forward f;

    if (take_add_norm(c, &x, &residual, &f) < 0 || !(y = km_empty_like(c, x)) ||
        !(sum = km_empty_like(c, x)))
        return KM_FAILED;
    if (train && (!(mean = new_statistic(c, x, &f.mean)) || !(rstd = new_statistic(c, x, &f.rstd))))
        return KM_FAILED;
    f.y = dense_output(y);
    f.sum = dense_output(sum);
    if (forward(c, x, &f) < 0 || km_return(c, 0, y) < 0 || km_return(c, 1, sum) < 0)
        return KM_FAILED;
    if (!train)
        return 0;
    return km_return(c, 2, mean) < 0 ? KM_FAILED : km_return(c, 3, rstd);
}
KM_KERNEL(fused_add_layer_norm)
KM_KERNEL_AS(fused_add_layer_norm_fwd, fused_add_layer_norm)
KM_KERNEL_AS(fused_add_layer_norm_train, fused_add_layer_norm)
KM_KERNEL_AS(fused_add_layer_norm_fwd_stats, fused_add_layer_norm)

/* (Tensor(a!) x, Tensor(b!) residual, ...): residual becomes the sum, x the normalised sum. */
static int fused_add_layer_norm_inplace(km_call *c)
{
    const km_tensor *x, *residual;
    km_tensor *y_copy, *sum_copy;
    layer_norm_forward f;

    if (take_add_norm(c, &x, &residual, &f) < 0 || take_output(c, 0, x, &f.y, &y_copy) < 0 ||
        take_output(c, 1, residual, &f.sum, &sum_copy) < 0)
        return KM_FAILED;
    KM_EXPECT(c, 1, x->data != residual->data || x->numel == 0, "another tensor than x");
    if (forward(c, x, &f) < 0 || (y_copy && km_copy(c, x, y_copy) < 0))
        return KM_FAILED;
    return sum_copy ? km_copy(c, residual, sum_copy) : 0;
}
KM_KERNEL(fused_add_layer_norm_inplace)

/* The workspace for a gradient's partial sums. */
static int new_parts(km_call *c, const km_tensor *s, const layer_norm_backward *b, float **parts)
{
    const int64_t sizes[2] = { b->parts, b->columns };
    km_tensor *t = km_empty(c, 2, sizes, KM_FLOAT32, s);

    if (!t)
        return KM_FAILED;
    *parts = t->data;
    return 0;
}

static int backward(km_call *c, const km_tensor *s, layer_norm_backward *b)
{
    b->rows = row_count(s);
    b->columns = km_size(s, -1);
    b->dtype = s->dtype;
    b->parts = layer_norm_parts_cpu(b->rows);
#ifdef CUDA_KERNEL
    if (s->device_type == KM_CUDA)
        b->parts = layer_norm_parts_cuda(c, b->rows, b->columns, b->dtype);
#endif
    if (b->parts < 0 || (b->dweight && new_parts(c, s, b, &b->dweight_parts) < 0) ||
        (b->dbias && new_parts(c, s, b, &b->dbias_parts) < 0))
        return KM_FAILED;
#ifdef CUDA_KERNEL
    if (s->device_type == KM_CUDA)
        return layer_norm_backward_cuda(c, b);
#endif
    layer_norm_backward_cpu(b);
    return 0;
}

/* The statistic of each row in argument `i`. */
static int take_statistic(km_call *c, int i, const km_tensor *s, const float **data)
{
    const km_tensor *t = km_arg_tensor(c, i);

    KM_EXPECT(c, i, t->dtype == KM_FLOAT32 && t->numel == row_count(s),
              "float32 with a value for each of the %lld rows", (long long)row_count(s));
    t = km_contiguous(c, t);
    if (!t)
        return KM_FAILED;
    *data = t->data;
    return 0;
}

/* Arguments dy, s, weight, bias, mean, rstd, dsum. */
static int take_backward(km_call *c, const km_tensor **s, layer_norm_backward *b)
{
    const km_tensor *dy, *dsum = km_arg_optional(c, 6);
    const void *bias; /* only its dtype matters */

    if (take_x(c, 1, s) < 0 || take_like(c, 0, *s, &dy) < 0 ||
        take_weights(c, 2, *s, &b->weight, &bias, &b->weight_dtype) < 0 ||
        take_statistic(c, 4, *s, &b->mean) < 0 || take_statistic(c, 5, *s, &b->rstd) < 0 ||
        (dsum && take_like(c, 6, *s, &dsum) < 0))
        return KM_FAILED;
    if (take_input(c, dy, &b->dy) < 0 || take_input(c, *s, &b->s) < 0)
        return KM_FAILED;
    return dsum ? take_input(c, dsum, &b->dsum) : 0;
}

/* A new gradient of weight or bias; without elements when it is not wanted. */
static km_tensor *new_gradient(km_call *c, const km_tensor *s, bool wanted, km_dtype dtype,
                               void **data)
{
    const int64_t size = wanted ? km_size(s, -1) : 0;
    km_tensor *t = km_empty(c, 1, &size, dtype, s);

    *data = wanted && t ? t->data : NULL;
    return t;
}

/* (Tensor dy, Tensor s, Tensor? weight, Tensor? bias, Tensor mean, Tensor rstd, Tensor? dsum,
 * bool want_dx, bool want_dweight, bool want_dbias) -> (Tensor dx, Tensor dweight, Tensor dbias);
 * one not wanted has no elements. */
static int layer_norm_bwd(km_call *c)
{
    bool want_dx = km_arg_bool(c, 7);
    const int64_t nothing = 0;
    layer_norm_backward b = { 0 };
    km_tensor *dx, *dweight, *dbias;
    const km_tensor *s;

    if (take_backward(c, &s, &b) < 0)
        return KM_FAILED;
    dx = want_dx ? km_empty_like(c, s) : km_empty(c, 1, &nothing, s->dtype, s);
    dweight = new_gradient(c, s, km_arg_bool(c, 8), b.weight_dtype, &b.dweight);
    dbias = new_gradient(c, s, km_arg_bool(c, 9), b.weight_dtype, &b.dbias);
    if (!dx || !dweight || !dbias)
        return KM_FAILED;
    if (want_dx)
        b.dx = dense_output(dx);
    if (s->numel == 0) {
        if ((dweight->numel && km_zero(c, dweight) < 0) || (dbias->numel && km_zero(c, dbias) < 0))
            return KM_FAILED;
    } else if (backward(c, s, &b) < 0) {
        return KM_FAILED;
    }
    if (km_return(c, 0, dx) < 0 || km_return(c, 1, dweight) < 0)
        return KM_FAILED;
    return km_return(c, 2, dbias);
}
KM_KERNEL(layer_norm_bwd)

#ifdef CUDA_KERNEL
#define BOTH(name) .cpu = &name##_kernel, .cuda = &name##_kernel
#else
#define BOTH(name) .cpu = &name##_kernel
#endif
#define ADD_ARGUMENTS "Tensor x, Tensor residual, " NORM_ARGUMENTS ", str residual_rounding"

static const km_op ops[] = {
    { "layer_norm(Tensor x, " NORM_DEFAULTS ") -> Tensor", BOTH(layer_norm) },
    { "fused_add_layer_norm(Tensor x, Tensor residual, " NORM_DEFAULTS
      ", str residual_rounding=\"rounded\") -> (Tensor, Tensor)",
      BOTH(fused_add_layer_norm) },

    { "_layer_norm_fwd(Tensor x, " NORM_ARGUMENTS ") -> Tensor", BOTH(layer_norm_fwd) },
    { "_layer_norm_fwd_stats(Tensor x, " NORM_ARGUMENTS ") -> (Tensor, Tensor, Tensor)",
      BOTH(layer_norm_fwd_stats) },
    { "_layer_norm_train(Tensor x, " NORM_ARGUMENTS ") -> (Tensor, Tensor, Tensor)",
      BOTH(layer_norm_train) },
    { "_layer_norm_stats(Tensor x, float eps) -> (Tensor, Tensor)", BOTH(layer_norm_stats) },
    { "_layer_norm_out(Tensor(a!) out, Tensor x, " NORM_ARGUMENTS ") -> ()", BOTH(layer_norm_out) },
    { "_layer_norm_inplace(Tensor(a!) x, " NORM_ARGUMENTS ") -> ()", BOTH(layer_norm_inplace) },
    { "_fused_add_layer_norm_fwd(" ADD_ARGUMENTS ") -> (Tensor, Tensor)",
      BOTH(fused_add_layer_norm_fwd) },
    { "_fused_add_layer_norm_fwd_stats(" ADD_ARGUMENTS ") -> (Tensor, Tensor, Tensor, Tensor)",
      BOTH(fused_add_layer_norm_fwd_stats) },
    { "_fused_add_layer_norm_train(" ADD_ARGUMENTS ") -> (Tensor, Tensor, Tensor, Tensor)",
      BOTH(fused_add_layer_norm_train) },
    { "_fused_add_layer_norm_inplace(Tensor(a!) x, Tensor(b!) residual, " NORM_ARGUMENTS
      ", str residual_rounding) -> ()",
      BOTH(fused_add_layer_norm_inplace) },
    { "_layer_norm_bwd(Tensor dy, Tensor s, Tensor? weight, Tensor? bias, Tensor mean, Tensor "
      "rstd, Tensor? dsum, bool want_dx, bool want_dweight, bool want_dbias) -> (Tensor, Tensor, "
      "Tensor)",
      BOTH(layer_norm_bwd) },
};
KM_OPS(ops)
