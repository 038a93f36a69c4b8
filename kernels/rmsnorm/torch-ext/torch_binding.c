/* The operators of kernmill_rmsnorm: schemas, argument checks, and the choice of backend. The only
 * file that knows torch; what the numbers mean is in rmsnorm.h.
 *
 * The public names (without a leading underscore) get autograd in Python, when the package is
 * imported. The others are raw: no autograd, and those that write to an argument do not bump its
 * version. */
#include <math.h>

#include "../rmsnorm.h"

#define EPS_ARGUMENTS "float eps, str rounding, float weight_offset"
#define EPS_DEFAULTS  "float eps=1e-6, str rounding=\"hf\", float weight_offset=0.0"

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

/* The weight's dense data (NULL for None) and its dtype. */
static int take_weight(km_call *c, int i, const km_tensor *x, const void **data, km_dtype *dtype)
{
    const km_tensor *w = km_arg_optional(c, i);

    *data = NULL;
    *dtype = x->dtype;
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

/* Arguments `i` (eps), `i + 1` (rounding) and `i + 2` (weight_offset). */
static int take_numbers(km_call *c, int i, rms_norm_forward *f)
{
    double eps = km_arg_float(c, i);

    KM_EXPECT(c, i, isfinite(eps) && eps >= 0, "a finite number, at least 0");
    f->eps = (float)eps;
    f->weight_offset = (float)km_arg_float(c, i + 2);
    return km_arg_choice(c, i + 1, "hf", "single", &f->round_normalized);
}

static int take_input(km_call *c, const km_tensor *t, rms_norm_input *out)
{
    km_rows rows;

    if (km_rows_of(c, t, &rows) < 0)
        return KM_FAILED;
    *out = (rms_norm_input){ rows.data, rows.stride };
    return 0;
}

static int take_output(km_call *c, int i, const km_tensor *t, rms_norm_output *out,
                       km_tensor **copy)
{
    km_rows rows;

    if (km_rows_into(c, i, t, &rows, copy) < 0)
        return KM_FAILED;
    *out = (rms_norm_output){ rows.data, rows.stride };
    return 0;
}

static rms_norm_output dense_output(const km_tensor *t)
{
    return (rms_norm_output){ t->data, km_size(t, -1) };
}

static int64_t row_count(const km_tensor *x)
{
    int64_t rows = 1;

    for (int64_t i = 0; i + 1 < x->ndim; i++)
        rows *= x->sizes[i];
    return rows;
}

static int forward(km_call *c, const km_tensor *x, rms_norm_forward *f)
{
    f->rows = row_count(x);
    f->columns = km_size(x, -1);
    f->dtype = x->dtype;
    if (x->numel == 0)
        return 0;
#ifdef CUDA_KERNEL
    if (x->device_type == KM_CUDA)
        return rms_norm_forward_cuda(c, f);
#else
    (void)c;
#endif
    rms_norm_forward_cpu(f);
    return 0;
}

/* A new float32 tensor with a value for each row: x's sizes without the last. */
static km_tensor *new_rstd(km_call *c, const km_tensor *x, rms_norm_forward *f)
{
    km_tensor *t = km_empty(c, x->ndim - 1, x->sizes, KM_FLOAT32, x);

    f->rstd = t ? t->data : NULL;
    return t;
}

/* Arguments x, weight, eps, rounding, weight_offset from position `i`. */
static int take_norm(km_call *c, int i, const km_tensor **x, rms_norm_forward *f)
{
    *f = (rms_norm_forward){ 0 };
    if (take_x(c, i, x) < 0 || take_weight(c, i + 1, *x, &f->weight, &f->weight_dtype) < 0 ||
        take_numbers(c, i + 2, f) < 0)
        return KM_FAILED;
    return take_input(c, *x, &f->x);
}

static int rms_norm(km_call *c)
{
    rms_norm_forward f;
    const km_tensor *x;
    km_tensor *y;

    if (take_norm(c, 0, &x, &f) < 0 || !(y = km_empty_like(c, x)))
        return KM_FAILED;
    f.y = dense_output(y);
    if (forward(c, x, &f) < 0)
        return KM_FAILED;
    return km_return(c, 0, y);
}
KM_KERNEL(rms_norm)
KM_KERNEL_AS(rms_norm_fwd, rms_norm)

static int rms_norm_train(km_call *c)
{
    rms_norm_forward f;
    const km_tensor *x;
    km_tensor *y, *rstd;

    if (take_norm(c, 0, &x, &f) < 0 || !(y = km_empty_like(c, x)) || !(rstd = new_rstd(c, x, &f)))
        return KM_FAILED;
    f.y = dense_output(y);
    if (forward(c, x, &f) < 0 || km_return(c, 0, y) < 0)
        return KM_FAILED;
    return km_return(c, 1, rstd);
}
KM_KERNEL(rms_norm_train)
KM_KERNEL_AS(rms_norm_fwd_rstd, rms_norm_train)

/* (Tensor x, float eps) -> Tensor: what a backward needs when the forward did not keep it. */
static int rms_norm_rstd(km_call *c)
{
    rms_norm_forward f = { 0 };
    double eps = km_arg_float(c, 1);
    const km_tensor *x;
    km_tensor *rstd;

    if (take_x(c, 0, &x) < 0 || take_input(c, x, &f.x) < 0 || !(rstd = new_rstd(c, x, &f)))
        return KM_FAILED;
    f.weight_dtype = x->dtype;
    f.eps = (float)eps;
    if (forward(c, x, &f) < 0)
        return KM_FAILED;
    return km_return(c, 0, rstd);
}
KM_KERNEL(rms_norm_rstd)

/* (Tensor(a!) out, Tensor x, ...) */
static int rms_norm_out(km_call *c)
{
    rms_norm_forward f;
    const km_tensor *x, *out;
    km_tensor *copy;

    if (take_norm(c, 1, &x, &f) < 0 || take_like(c, 0, x, &out) < 0 ||
        take_output(c, 0, out, &f.y, &copy) < 0 || forward(c, x, &f) < 0)
        return KM_FAILED;
    return copy ? km_copy(c, out, copy) : 0;
}
KM_KERNEL(rms_norm_out)

/* (Tensor(a!) x, ...) */
static int rms_norm_inplace(km_call *c)
{
    rms_norm_forward f;
    const km_tensor *x;
    km_tensor *copy;

    if (take_norm(c, 0, &x, &f) < 0 || take_output(c, 0, x, &f.y, &copy) < 0 ||
        forward(c, x, &f) < 0)
        return KM_FAILED;
    return copy ? km_copy(c, x, copy) : 0;
}
KM_KERNEL(rms_norm_inplace)

/* Arguments x, residual, weight, eps, rounding, weight_offset, residual_rounding. */
static int take_add_norm(km_call *c, const km_tensor **x, const km_tensor **residual,
                         rms_norm_forward *f)
{
    *f = (rms_norm_forward){ 0 };
    if (take_x(c, 0, x) < 0 || take_like(c, 1, *x, residual) < 0 ||
        take_weight(c, 2, *x, &f->weight, &f->weight_dtype) < 0 || take_numbers(c, 3, f) < 0 ||
        km_arg_choice(c, 6, "rounded", "unrounded", &f->round_sum) < 0)
        return KM_FAILED;
    if (take_input(c, *x, &f->x) < 0)
        return KM_FAILED;
    return take_input(c, *residual, &f->residual);
}

/* y and sum, and rstd as a third result when the schema has one. */
static int fused_add_rms_norm(km_call *c)
{
    bool train = km_result_count(c) == 3;
    const km_tensor *x, *residual;
    km_tensor *y, *sum, *rstd = NULL;
    rms_norm_forward f;

    if (take_add_norm(c, &x, &residual, &f) < 0 || !(y = km_empty_like(c, x)) ||
        !(sum = km_empty_like(c, x)) || (train && !(rstd = new_rstd(c, x, &f))))
        return KM_FAILED;
    f.y = dense_output(y);
    f.sum = dense_output(sum);
    if (forward(c, x, &f) < 0 || km_return(c, 0, y) < 0 || km_return(c, 1, sum) < 0)
        return KM_FAILED;
    return train ? km_return(c, 2, rstd) : 0;
}
KM_KERNEL(fused_add_rms_norm)
KM_KERNEL_AS(fused_add_rms_norm_fwd, fused_add_rms_norm)
KM_KERNEL_AS(fused_add_rms_norm_train, fused_add_rms_norm)
KM_KERNEL_AS(fused_add_rms_norm_fwd_rstd, fused_add_rms_norm)

/* (Tensor(a!) x, Tensor(b!) residual, ...): residual becomes the sum, x the normalised sum. */
static int fused_add_rms_norm_inplace(km_call *c)
{
    const km_tensor *x, *residual;
    km_tensor *y_copy, *sum_copy;
    rms_norm_forward f;

    if (take_add_norm(c, &x, &residual, &f) < 0 || take_output(c, 0, x, &f.y, &y_copy) < 0 ||
        take_output(c, 1, residual, &f.sum, &sum_copy) < 0)
        return KM_FAILED;
    KM_EXPECT(c, 1, x->data != residual->data || x->numel == 0, "another tensor than x");
    if (forward(c, x, &f) < 0 || (y_copy && km_copy(c, x, y_copy) < 0))
        return KM_FAILED;
    return sum_copy ? km_copy(c, residual, sum_copy) : 0;
}
KM_KERNEL(fused_add_rms_norm_inplace)

static int backward(km_call *c, const km_tensor *s, rms_norm_backward *b, km_tensor *dweight)
{
    km_tensor *partials;
    int64_t sizes[2];

    b->rows = row_count(s);
    b->columns = km_size(s, -1);
    b->dtype = s->dtype;
    if (s->numel == 0)
        return dweight->numel ? km_zero(c, dweight) : 0;
    b->parts = rms_norm_parts_cpu(b->rows);
#ifdef CUDA_KERNEL
    if (s->device_type == KM_CUDA)
        b->parts = rms_norm_parts_cuda(c, b->rows, b->columns, b->dtype);
#endif
    if (b->parts < 0)
        return KM_FAILED;
    sizes[0] = b->parts;
    sizes[1] = b->columns;
    if (b->dweight) {
        partials = km_empty(c, 2, sizes, KM_FLOAT32, s);
        if (!partials)
            return KM_FAILED;
        b->partials = partials->data;
    }
#ifdef CUDA_KERNEL
    if (s->device_type == KM_CUDA)
        return rms_norm_backward_cuda(c, b);
#endif
    rms_norm_backward_cpu(b);
    return 0;
}

/* (Tensor dy, Tensor s, Tensor? weight, Tensor rstd, Tensor? dsum, str rounding, float
 * weight_offset, bool want_dx, bool want_dweight) -> (Tensor dx, Tensor dweight); one not wanted
 * has no elements. */
static int rms_norm_bwd(km_call *c)
{
    const km_tensor *dy, *s, *rstd = km_arg_tensor(c, 3), *dsum = km_arg_optional(c, 4);
    rms_norm_backward b = { .weight_offset = (float)km_arg_float(c, 6) };
    bool want_dx = km_arg_bool(c, 7), want_dweight = km_arg_bool(c, 8);
    const int64_t nothing = 0;
    km_tensor *dx, *dweight;

    if (take_x(c, 1, &s) < 0 || take_like(c, 0, s, &dy) < 0 ||
        take_weight(c, 2, s, &b.weight, &b.weight_dtype) < 0 ||
        (dsum && take_like(c, 4, s, &dsum) < 0) ||
        km_arg_choice(c, 5, "hf", "single", &b.round_normalized) < 0)
        return KM_FAILED;
    KM_EXPECT(c, 3, rstd->dtype == KM_FLOAT32 && rstd->numel == row_count(s),
              "float32 with a value for each of the %lld rows", (long long)row_count(s));
    rstd = km_contiguous(c, rstd);
    if (!rstd || take_input(c, dy, &b.dy) < 0 || take_input(c, s, &b.s) < 0 ||
        (dsum && take_input(c, dsum, &b.dsum) < 0))
        return KM_FAILED;
    b.rstd = rstd->data;
    dx = want_dx ? km_empty_like(c, s) : km_empty(c, 1, &nothing, s->dtype, s);
    dweight = km_empty(c, 1, want_dweight ? &s->sizes[s->ndim - 1] : &nothing, b.weight_dtype, s);
    if (!dx || !dweight)
        return KM_FAILED;
    if (want_dx)
        b.dx = dense_output(dx);
    if (want_dweight)
        b.dweight = dweight->data;
    if (backward(c, s, &b, dweight) < 0 || km_return(c, 0, dx) < 0)
        return KM_FAILED;
    return km_return(c, 1, dweight);
}
KM_KERNEL(rms_norm_bwd)

#ifdef CUDA_KERNEL
#define BOTH(name) .cpu = &name##_kernel, .cuda = &name##_kernel
#else
#define BOTH(name) .cpu = &name##_kernel
#endif
#define ADD_ARGUMENTS                                                                              \
    "Tensor x, Tensor residual, Tensor? weight, " EPS_ARGUMENTS ", str residual_rounding"

static const km_op ops[] = {
    { "rms_norm(Tensor x, Tensor? weight=None, " EPS_DEFAULTS ") -> Tensor", BOTH(rms_norm) },
    { "fused_add_rms_norm(Tensor x, Tensor residual, Tensor? weight=None, " EPS_DEFAULTS
      ", str residual_rounding=\"rounded\") -> (Tensor, Tensor)",
      BOTH(fused_add_rms_norm) },

    { "_rms_norm_fwd(Tensor x, Tensor? weight, " EPS_ARGUMENTS ") -> Tensor", BOTH(rms_norm_fwd) },
    { "_rms_norm_fwd_rstd(Tensor x, Tensor? weight, " EPS_ARGUMENTS ") -> (Tensor, Tensor)",
      BOTH(rms_norm_fwd_rstd) },
    { "_rms_norm_train(Tensor x, Tensor? weight, " EPS_ARGUMENTS ") -> (Tensor, Tensor)",
      BOTH(rms_norm_train) },
    { "_rms_norm_rstd(Tensor x, float eps) -> Tensor", BOTH(rms_norm_rstd) },
    { "_rms_norm_out(Tensor(a!) out, Tensor x, Tensor? weight, " EPS_ARGUMENTS ") -> ()",
      BOTH(rms_norm_out) },
    { "_rms_norm_inplace(Tensor(a!) x, Tensor? weight, " EPS_ARGUMENTS ") -> ()",
      BOTH(rms_norm_inplace) },
    { "_fused_add_rms_norm_fwd(" ADD_ARGUMENTS ") -> (Tensor, Tensor)",
      BOTH(fused_add_rms_norm_fwd) },
    { "_fused_add_rms_norm_fwd_rstd(" ADD_ARGUMENTS ") -> (Tensor, Tensor, Tensor)",
      BOTH(fused_add_rms_norm_fwd_rstd) },
    { "_fused_add_rms_norm_train(" ADD_ARGUMENTS ") -> (Tensor, Tensor, Tensor)",
      BOTH(fused_add_rms_norm_train) },
    { "_fused_add_rms_norm_inplace(Tensor(a!) x, Tensor(b!) residual, Tensor? "
      "weight, " EPS_ARGUMENTS ", str residual_rounding) -> ()",
      BOTH(fused_add_rms_norm_inplace) },
    { "_rms_norm_bwd(Tensor dy, Tensor s, Tensor? weight, Tensor rstd, Tensor? dsum, str rounding, "
      "float weight_offset, bool want_dx, bool want_dweight) -> (Tensor, Tensor)",
      BOTH(rms_norm_bwd) },
};
KM_OPS(ops)
