/* torch-ext/halves.h: for torch_binding.c: how the Hub's apply_rotary hands over heads whose halves
 * are tensors of their own, and tables that broadcast to them. */
#ifndef KERNMILL_ROTARY_HALVES_H
#define KERNMILL_ROTARY_HALVES_H

#include "layout.h"

/* How x1, [d0, d1, d2, n] with ones before what it lacks, is read: the heads are a dimension in
 * which neither table moves. */
typedef struct {
    int64_t sizes[3];
    int heads; /* which of the three; the others, in order, are batch and position */
} broadcast;

static int64_t padded(const int64_t *of, int64_t ndim, int d, int64_t missing)
{
    int64_t at = d - (4 - ndim);

    return at < 0 ? missing : of[at];
}

static void put_strides(const km_tensor *t, const broadcast *b, int64_t *out)
{
    int at = 0;

    for (int d = 0; d < 3; d++) {
        int64_t stride = padded(t->sizes, t->ndim, d, 1) == 1 ? 0
                                                              : padded(t->strides, t->ndim, d, 0);
        out[d == b->heads ? ROTARY_HEAD : at] = stride;
        at += d != b->heads;
    }
}

static int take_broadcast_table(km_call *c, int i, const rotary_call *r, const broadcast *b,
                                rotary_table *out)
{
    const km_tensor *t = km_arg_tensor(c, i);
    int64_t strides[ROTARY_STRIDES];
    bool fits = t->ndim >= 1 && t->ndim <= 4 && km_size(t, -1) == r->half;

    for (int d = 0; d < 3 && fits; d++) {
        int64_t n = padded(t->sizes, t->ndim, d, 1);
        fits = n == 1 || (n == b->sizes[d] && d != b->heads);
    }
    KM_EXPECT(c, i,
              fits && (t->dtype == r->dtype || t->dtype == KM_FLOAT32) &&
                  t->dtype == r->table_dtype,
              "a table that broadcasts to x1, the same for all heads (of size 1 in a dimension), "
              "in %s%s, like cos",
              km_dtype_name(r->dtype), r->dtype == KM_FLOAT32 ? "" : " or float32");
    t = with_dense_last(c, t);
    if (!t)
        return KM_FAILED;
    put_strides(t, b, strides);
    *out = (rotary_table){ t->data, { strides[ROTARY_BATCH], strides[ROTARY_POSITION] } };
    return 0;
}

/* A tensor like x1. */
static int take_half(km_call *c, int i, const km_tensor *x1, const km_tensor **out)
{
    *out = km_arg_tensor(c, i);
    KM_EXPECT(c, i, km_same_sizes(*out, x1) && (*out)->dtype == x1->dtype,
              "a %s tensor with the sizes of x1", km_dtype_name(x1->dtype));
    return 0;
}

static bool same_strides(const km_tensor *a, const km_tensor *b)
{
    for (int64_t d = 0; d < a->ndim; d++)
        if (a->sizes[d] > 1 && a->strides[d] != b->strides[d])
            return false;
    return true;
}

/* x1 and x2 with equal strides and a dense last dimension: both as they are, or both copied. */
static int read_halves(km_call *c, const km_tensor *x1, const km_tensor *x2, const broadcast *b,
                       rotary_heads *x)
{
    if (!same_strides(x1, x2) || !dense_last(x1)) {
        x1 = km_contiguous(c, x1);
        x2 = km_contiguous(c, x2);
    }
    if (!x1 || !x2)
        return KM_FAILED;
    x->from = x1->data;
    x->from_second = x2->data;
    put_strides(x1, b, x->from_strides);
    return 0;
}

static int write_halves(km_call *c, const km_tensor *out[2], const broadcast *b, rotary_heads *x,
                        km_tensor *copies[2])
{
    bool copied = !same_strides(out[0], out[1]) || !dense_last(out[0]);

    for (int i = 0; i < 2; i++) {
        KM_EXPECT(c, 4 + i, !shares_memory(out[i]), "a tensor whose elements do not share memory");
        if (copied && !(copies[i] = km_empty_like(c, out[i])))
            return KM_FAILED;
    }
    KM_EXPECT(c, 5, out[0]->data != out[1]->data, "another tensor than out1");
    x->to = copied ? copies[0]->data : out[0]->data;
    x->to_second = copied ? copies[1]->data : out[1]->data;
    put_strides(copied ? copies[0] : out[0], b, x->to_strides);
    return 0;
}

/* Which dimension holds the heads: the last in which the tables do not move. */
static int head_dimension(const km_tensor *cos, const km_tensor *sin)
{
    for (int d = 2; d > 0; d--)
        if (padded(cos->sizes, cos->ndim, d, 1) == 1 && padded(sin->sizes, sin->ndim, d, 1) == 1)
            return d;
    return 0;
}

#endif
