/* kernmill/detail/tensors.h: new tensors, copies, rows and results. */
#include "kernmill/op.h" /* the header that this one is a part of */

#ifndef KERNMILL_DETAIL_TENSORS_H
#define KERNMILL_DETAIL_TENSORS_H

#include "kernmill/detail/call.h"

static inline int km_check_dims(km_call *c, int64_t ndim)
{
    if (ndim >= 0 && ndim <= KM_DIMS_MAX)
        return 0;
    return km_error(c, "a tensor of %lld dimensions; at most %d are handled", (long long)ndim,
                    KM_DIMS_MAX);
}

KM_OUTLINED int km_dense_strides(km_call *c, int64_t ndim, const int64_t *sizes, int64_t *strides)
{
    int64_t step = 1;

    if (km_check_dims(c, ndim) < 0)
        return KM_FAILED;
    strides[0] = 1; /* also when there is none */
    for (int64_t i = ndim - 1; i >= 0; i--) {
        strides[i] = step;
        if (__builtin_mul_overflow(step, sizes[i] > 1 ? sizes[i] : 1, &step))
            return km_error(c, "a tensor of more than 2^63 elements");
    }
    return 0;
}

KM_OUTLINED km_tensor *km_empty_strided(km_call *c, int64_t ndim, const int64_t *sizes,
                                        const int64_t *strides, km_dtype dtype,
                                        const km_tensor *like)
{
    km_torch_tensor handle = NULL;

    if (dtype <= KM_DTYPE_UNKNOWN || dtype >= KM_DTYPE_COUNT) {
        km_error(c, "a new tensor cannot have %s", km_dtype_name(KM_DTYPE_UNKNOWN));
        return NULL;
    }
    if (km_check_dims(c, ndim) < 0)
        return NULL;
    for (int64_t i = 0; i < ndim; i++)
        if (strides[i] < 0) { /* torch would make memory that begins behind the first element */
            km_error(c, "a new tensor cannot have stride %lld", (long long)strides[i]);
            return NULL;
        }
    if (aoti_torch_empty_strided(ndim, sizes, strides, km_codes.torch_dtype[dtype],
                                 like->device_type == KM_CUDA ? km_codes.cuda : km_codes.cpu,
                                 like->device_index, &handle) != 0) {
        km_torch_error(c, "allocating a tensor");
        return NULL;
    }
    return km_adopt(c, handle, true);
}

KM_OUTLINED km_tensor *km_empty(km_call *c, int64_t ndim, const int64_t *sizes, km_dtype dtype,
                                const km_tensor *like)
{
    int64_t strides[KM_DIMS_MAX];

    if (km_dense_strides(c, ndim, sizes, strides) < 0)
        return NULL;
    return km_empty_strided(c, ndim, sizes, strides, dtype, like);
}

static inline km_tensor *km_empty_like(km_call *c, const km_tensor *like)
{
    return km_empty(c, like->ndim, like->sizes, like->dtype, like);
}

static inline bool km_is_contiguous(const km_tensor *t)
{
    int64_t step = 1;

    for (int64_t i = t->ndim - 1; i >= 0 && t->numel; i--) {
        if (t->sizes[i] != 1 && t->strides[i] != step)
            return false;
        step *= t->sizes[i];
    }
    return true;
}

/* Writes to `to`: copies `from`, or zeros for NULL. These are operators of torch, and must not
 * record themselves for autograd as if they were the gradient of ours. */
static inline int km_write(km_call *c, const km_tensor *to, const km_tensor *from)
{
    bool recording = aoti_torch_grad_mode_is_enabled();
    int32_t failed;

    if (c->failed) /* perhaps with a tensor that is none */
        return KM_FAILED;
    if (!to->writable)
        return km_error(c, "the kernel writes to a tensor that its schema does not declare (a!)");
    aoti_torch_grad_mode_set_enabled(false);
    failed = from ? aoti_torch_copy_(to->handle, from->handle, 0) : aoti_torch_zero_(to->handle);
    aoti_torch_grad_mode_set_enabled(recording);
    return failed ? km_torch_error(c, from ? "copying a tensor" : "clearing a tensor") : 0;
}

KM_OUTLINED int km_copy(km_call *c, const km_tensor *to, const km_tensor *from)
{
    return km_write(c, to, from);
}

KM_OUTLINED int km_zero(km_call *c, const km_tensor *t)
{
    return km_write(c, t, NULL);
}

KM_OUTLINED const km_tensor *km_contiguous(km_call *c, const km_tensor *t)
{
    km_tensor *copy;

    if (km_is_contiguous(t))
        return t;
    copy = km_empty_like(c, t);
    return copy && km_copy(c, copy, t) == 0 ? copy : NULL;
}

KM_OUTLINED int km_rows_of(km_call *c, const km_tensor *t, km_rows *out)
{
    *out = (km_rows){ 0 };
    if (km_as_rows(t, out))
        return 0;
    t = km_contiguous(c, t);
    return t && km_as_rows(t, out) ? 0 : km_error(c, "a tensor without dimensions has no rows");
}

KM_OUTLINED int km_arg_choice(km_call *c, int i, const char *yes, const char *no, bool *out)
{
    const char *text = km_arg_text(c, i);

    *out = strcmp(text, yes) == 0;
    KM_EXPECT(c, i, *out || strcmp(text, no) == 0, "'%s' or '%s'", yes, no);
    return 0;
}

KM_OUTLINED int km_rows_into(km_call *c, int i, const km_tensor *t, km_rows *out, km_tensor **copy)
{
    *copy = NULL;
    *out = (km_rows){ .data = t->data };
    if (!t->numel)
        return 0;
    for (int64_t d = 0; d < t->ndim; d++)
        KM_EXPECT(c, i, t->strides[d] != 0 || t->sizes[d] < 2,
                  "a tensor whose elements do not share memory");
    if (!km_as_rows(t, out)) {
        *copy = km_empty_like(c, t);
        if (!*copy || !km_as_rows(*copy, out))
            return KM_FAILED;
    }
    KM_EXPECT(c, i, out->rows < 2 || out->stride >= out->columns,
              "a tensor whose elements do not share memory");
    return 0;
}

static inline int km_result_count(const km_call *c)
{
    return c->signature->result_count;
}

KM_OUTLINED int km_return(km_call *c, int i, const km_tensor *t)
{
    int at = 0;

    while (at < c->tensor_count && t != &c->tensors[at])
        at++;
    if (at == c->tensor_count)
        return km_error(c, "the kernel returns a tensor that is not of this call");
    if (i < 0 || i >= c->signature->result_count)
        return km_error(c, "the kernel sets result %d of %d", i, c->signature->result_count);
    if (c->results[i] || c->given_away[at])
        return km_error(c, "the kernel returns twice, as result %d", i);
    if (at < c->argument_count && !(c->signature->aliased >> i & 1))
        return km_error(c,
                        "the kernel returns '%s' itself as result %d, and its schema does not "
                        "say so: declare both as \"Tensor(a!)\", or return a copy",
                        km_tensor_name(c, t), i);
    c->results[i] = t->handle;
    c->given_away[at] = true;
    return c->failed ? KM_FAILED : 0;
}

#endif
