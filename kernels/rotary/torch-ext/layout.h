/* torch-ext/layout.h: for torch_binding.c: how tensors lie in memory, and what of that the kernels
 * are told. */
#ifndef KERNMILL_ROTARY_LAYOUT_H
#define KERNMILL_ROTARY_LAYOUT_H

#include "../rotary.h"

static int64_t element_bytes(km_dtype dtype)
{
    return (int64_t)km_dtype_bytes(dtype);
}

/* `elements` further on in a tensor of `dtype`. */
static void *after(const void *data, int64_t elements, km_dtype dtype)
{
    return (char *)(uintptr_t)data + elements * element_bytes(dtype);
}

static bool dense_last(const km_tensor *t)
{
    return km_size(t, -1) < 2 || t->strides[t->ndim - 1] == 1;
}

/* `t` itself when its last dimension is dense, else a contiguous copy. */
static const km_tensor *with_dense_last(km_call *c, const km_tensor *t)
{
    return t->numel == 0 || dense_last(t) ? t : km_contiguous(c, t);
}

/* Whether different indices may lead to the same element: each stride, from the smallest, must step
 * over all that the smaller ones reach. */
static bool shares_memory(const km_tensor *t)
{
    int64_t reach = 0, last = -1;

    for (int64_t k = 0; k < t->ndim && t->numel; k++) {
        int64_t next = -1;
        for (int64_t d = 0; d < t->ndim; d++) {
            bool later = last < 0 || t->strides[d] > t->strides[last] ||
                         (t->strides[d] == t->strides[last] && d > last);
            if (later && (next < 0 || t->strides[d] < t->strides[next]))
                next = d;
        }
        last = next;
        if (t->sizes[next] > 1 && t->strides[next] <= reach)
            return true;
        reach += (t->sizes[next] - 1) * t->strides[next];
    }
    return false;
}

/* A new tensor like `x` whose second and third dimensions lie in memory as x's do: what
 * Transformers hands over as [B, H, S, D] lies as [B, S, H, D]. */
static km_tensor *empty_as_lies(km_call *c, const km_tensor *x)
{
    static const int order[4] = { 0, 2, 1, 3 };
    int64_t sizes[4], dense[4], strides[4];

    if (x->ndim != 4 || x->strides[1] >= x->strides[2])
        return km_empty_like(c, x);
    for (int d = 0; d < 4; d++)
        sizes[d] = x->sizes[order[d]];
    if (km_dense_strides(c, 4, sizes, dense) < 0)
        return NULL;
    for (int d = 0; d < 4; d++)
        strides[d] = dense[order[d]];
    return km_empty_strided(c, 4, x->sizes, strides, x->dtype, x);
}

/* How the dimensions of an argument are to be read: -1 for one that it does not have. */
typedef struct {
    int batch, position, head;
} layout;

static const layout heads_first = { 0, 2, 1 }, heads_later = { 0, 1, 2 }, tokens = { -1, 0, 1 },
                    tokens_later = { -1, 1, 0 };

/* Which dimension of [.., .., D] or [B, .., .., D] holds the heads, where nothing else tells: that
 * in which q and k differ; else the smaller, so that a launch has the more positions. */
static const layout *layout_of(const km_tensor *q, const km_tensor *k)
{
    int64_t d = q->ndim - 3;
    bool like_q = k && k->ndim == q->ndim;
    bool first = q->sizes[d] < q->sizes[d + 1];

    if (like_q && k->sizes[d] != q->sizes[d])
        first = true;
    else if (like_q && k->sizes[d + 1] != q->sizes[d + 1])
        first = false;
    if (q->ndim == 3)
        return first ? &tokens_later : &tokens;
    return first ? &heads_first : &heads_later;
}

static int64_t size_at(const km_tensor *t, int d)
{
    return d < 0 || d >= t->ndim ? 1 : t->sizes[d];
}

static int64_t stride_at(const km_tensor *t, int d)
{
    return d < 0 ? 0 : t->strides[d];
}

/* Strides of `t`; those of [T, heads * D], where the heads have no dimension, are made. */
static void strides_of(const km_tensor *t, const layout *l, int64_t columns, int64_t *out)
{
    out[ROTARY_BATCH] = stride_at(t, l->batch);
    out[ROTARY_POSITION] = stride_at(t, l->position);
    out[ROTARY_HEAD] = l->head < t->ndim - 1 ? stride_at(t, l->head) : columns;
}

#endif
