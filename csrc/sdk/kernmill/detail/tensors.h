/* kernmill/detail/tensors.h: new tensors, copies, rows and results. */
#ifndef KERNMILL_DETAIL_TENSORS_H
#define KERNMILL_DETAIL_TENSORS_H

#include "kernmill/detail/call.h"

#define KM_DIMS_MAX 32

static inline km_tensor *km_empty(km_call *c, int64_t ndim, const int64_t *sizes, km_dtype dtype,
                                  const km_tensor *like)
{
    km_torch_tensor handle = NULL;
    int64_t strides[KM_DIMS_MAX], step = 1;

    if (ndim < 0 || ndim > KM_DIMS_MAX) {
        km_error(c, "a tensor of %lld dimensions; at most %d are handled", (long long)ndim,
                 KM_DIMS_MAX);
        return NULL;
    }
    for (int64_t i = ndim - 1; i >= 0; i--) {
        strides[i] = step;
        step *= sizes[i] > 1 ? sizes[i] : 1;
    }
    if (aoti_torch_empty_strided(ndim, sizes, strides, km_codes.torch_dtype[dtype],
                                 like->device_type == KM_CUDA ? km_codes.cuda : km_codes.cpu,
                                 like->device_index, &handle) != 0) {
        km_torch_error(c, "allocating a tensor");
        return NULL;
    }
    return km_adopt(c, handle, true);
}

static inline km_tensor *km_empty_like(km_call *c, const km_tensor *like)
{
    return km_empty(c, like->ndim, like->sizes, like->dtype, like);
}

static inline bool km_is_contiguous(const km_tensor *t)
{
    int64_t step = 1;

    for (int64_t i = t->ndim - 1; i >= 0; i--) {
        if (t->sizes[i] != 1 && t->strides[i] != step)
            return t->numel == 0;
        step *= t->sizes[i];
    }
    return true;
}

static inline int km_copy(km_call *c, const km_tensor *to, const km_tensor *from)
{
    if (aoti_torch_copy_(to->handle, from->handle, 0) != 0)
        return km_torch_error(c, "copying a tensor");
    return 0;
}

static inline int km_zero(km_call *c, km_tensor *t)
{
    return aoti_torch_zero_(t->handle) == 0 ? 0 : km_torch_error(c, "clearing a tensor");
}

static inline const km_tensor *km_contiguous(km_call *c, const km_tensor *t)
{
    km_tensor *copy;

    if (km_is_contiguous(t))
        return t;
    copy = km_empty_like(c, t);
    return copy && km_copy(c, copy, t) == 0 ? copy : NULL;
}

static inline int km_rows_of(km_call *c, const km_tensor *t, km_rows *out)
{
    *out = (km_rows){ 0 };
    if (t->ndim >= 1 && t->numel == 0) {
        int64_t columns = km_size(t, -1), rows = 1;
        for (int64_t i = 0; i + 1 < t->ndim; i++)
            rows *= t->sizes[i];
        *out = (km_rows){ t->data, rows, columns, columns };
        return 0;
    }
    if (km_as_rows(t, out))
        return 0;
    t = km_contiguous(c, t);
    return t && km_as_rows(t, out) ? 0 : km_error(c, "a tensor without dimensions has no rows");
}

static inline int km_result_count(const km_call *c)
{
    return c->signature->result_count;
}

static inline int km_return(km_call *c, int i, const km_tensor *t)
{
    ptrdiff_t at = t ? t - c->tensors : -1;

    if (at < 0 || at >= c->tensor_count)
        return km_error(c, "the kernel returns a tensor that is not of this call");
    if (i < 0 || i >= c->signature->result_count || c->given_away[at])
        return km_error(c, "the kernel sets result %d wrongly", i);
    c->results[i] = t->handle;
    c->given_away[at] = true;
    return c->failed ? KM_FAILED : 0;
}

#endif
