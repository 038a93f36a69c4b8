/* The operators of kernmill_rotary: schemas, argument checks, and the choice of backend. The only
 * file that knows torch; what the numbers mean is in rotary.h.
 *
 * The public names (without a leading underscore) get autograd in Python, when the package is
 * imported. The others are raw: no autograd, and those that write to an argument do not bump its
 * version. Where there are no keys, the second result has no elements. */
#include <math.h>

#include "../rotary.h"

#include "halves.h"
#include "layout.h"

/* ---- what is rotated ---- */

static int read_heads(km_call *c, const rotary_call *r, const km_tensor *t, const layout *l,
                      rotary_heads *x)
{
    t = with_dense_last(c, t);
    if (!t)
        return KM_FAILED;
    x->from = t->data;
    x->from_second = after(t->data, r->half, r->dtype);
    strides_of(t, l, r->columns, x->from_strides);
    return 0;
}

static void write_heads(const rotary_call *r, const km_tensor *t, const layout *l, rotary_heads *x)
{
    x->to = t->data;
    x->to_second = after(t->data, r->half, r->dtype);
    strides_of(t, l, r->columns, x->to_strides);
}

/* Where argument `i` is overwritten: itself, or a *copy that is to be copied back. */
static int overwrite_heads(km_call *c, int i, const rotary_call *r, const km_tensor *t,
                           const layout *l, rotary_heads *x, km_tensor **copy)
{
    *copy = NULL;
    KM_EXPECT(c, i, !shares_memory(t), "a tensor whose elements do not share memory");
    if (t->numel && !dense_last(t) && !(*copy = km_empty_like(c, t)))
        return KM_FAILED;
    write_heads(r, *copy ? *copy : t, l, x);
    return 0;
}

/* What `r` says of q and k, which differ in the number of heads alone; `k` may be NULL. */
static int take_heads(km_call *c, const km_tensor *q, const km_tensor *k, const layout *l,
                      rotary_call *r)
{
    r->dtype = r->table_dtype = q->dtype;
    r->columns = km_size(q, -1);
    r->batch = size_at(q, l->batch);
    r->length = size_at(q, l->position);
    r->x[0].heads = size_at(q, l->head);
    if (!k)
        return 0;
    r->x[1].heads = size_at(k, l->head);
    KM_EXPECT(c, 1,
              k->dtype == r->dtype && k->ndim == q->ndim && size_at(k, l->batch) == r->batch &&
                  size_at(k, l->position) == r->length && km_size(k, -1) == r->columns,
              "a %s tensor that has the sizes of q, but for the heads", km_dtype_name(r->dtype));
    return 0;
}

/* Arguments 0 and 1, in [B, H, S, D] or [B, S, H, D]; `k` may be NULL. */
static int take_qk(km_call *c, int unsqueeze_at, const km_tensor **q, const km_tensor **k,
                   const layout **l, rotary_call *r)
{
    int64_t unsqueeze_dim = km_arg_int(c, unsqueeze_at);

    *q = km_arg_tensor(c, 0);
    *k = km_arg_optional(c, 1);
    KM_EXPECT(c, unsqueeze_at, unsqueeze_dim == 1 || unsqueeze_dim == 2, "1 or 2");
    *l = unsqueeze_dim == 1 ? &heads_first : &heads_later;
    KM_EXPECT(c, 0, km_is_floating(*q) && (*q)->ndim == 4,
              "a float32, float16 or bfloat16 tensor of four dimensions");
    return take_heads(c, *q, *k, *l, r);
}

/* ---- tables ---- */

static int take_table(km_call *c, int i, const rotary_call *r, int64_t rotated, rotary_table *out)
{
    const km_tensor *t = km_arg_tensor(c, i), *cos = km_arg_tensor(c, 2);
    int64_t n = t->ndim ? km_size(t, -1) : 0;

    KM_EXPECT(c, i,
              (t->ndim == 2 || (t->ndim == 3 && (t->sizes[0] == r->batch || t->sizes[0] == 1))) &&
                  km_size(t, -2) == r->length && (n == rotated || 2 * n == rotated) &&
                  (t->dtype == r->dtype || t->dtype == KM_FLOAT32),
              "[%lld or 1, %lld, %lld or %lld] in %s%s", (long long)r->batch, (long long)r->length,
              (long long)rotated, (long long)rotated / 2, km_dtype_name(r->dtype),
              r->dtype == KM_FLOAT32 ? "" : " or float32");
    KM_EXPECT(c, i, t->dtype == cos->dtype && n == km_size(cos, -1),
              "a table like cos: %s with %lld in a row", km_dtype_name(cos->dtype),
              (long long)km_size(cos, -1));
    t = with_dense_last(c, t);
    if (!t)
        return KM_FAILED;
    out->data = t->data;
    out->strides[1] = t->strides[t->ndim - 2];
    out->strides[0] = t->ndim == 3 && t->sizes[0] > 1 ? t->strides[0] : 0;
    return 0;
}

/* Arguments 2 and 3 (cos and sin), and rotary_dim at `dim_at`. */
static int take_tables(km_call *c, int dim_at, rotary_call *r)
{
    const km_tensor *cos = km_arg_tensor(c, 2);
    int64_t last = cos->ndim ? km_size(cos, -1) : 0;
    int64_t rotated = km_arg_given(c, dim_at) ? km_arg_int(c, dim_at) : last;
    int blame = km_arg_given(c, dim_at) ? dim_at : 2;

    KM_EXPECT(c, blame, rotated >= 2 && rotated % 2 == 0 && rotated <= r->columns,
              blame == 2 ? "a last size (what is rotated) that is even, from 2 to %lld"
                         : "an even number, from 2 to %lld",
              (long long)r->columns);
    r->half = rotated / 2;
    r->table_dtype = cos->dtype;
    r->second = last == rotated && !r->interleaved ? r->half : 0;
    if (take_table(c, 2, r, rotated, &r->cos) < 0)
        return KM_FAILED;
    return take_table(c, 3, r, rotated, &r->sin);
}

static int run(km_call *c, const km_tensor *like, const rotary_call *r)
{
    if (!r->batch || !r->length || !r->columns || !(r->x[0].heads + r->x[1].heads))
        return 0;
#ifdef CUDA_KERNEL
    if (like->device_type == KM_CUDA)
        return rotary_cuda(c, r);
#else
    (void)c;
    (void)like;
#endif
    rotary_cpu(r);
    return 0;
}

/* Two new tensors like q and k, rotated and returned. */
static int run_to_new(km_call *c, const km_tensor *q, const km_tensor *k, const layout *l,
                      rotary_call *r)
{
    const int64_t nothing = 0;
    km_tensor *new_q = empty_as_lies(c, q);
    km_tensor *new_k = k ? empty_as_lies(c, k) : km_empty(c, 1, &nothing, q->dtype, q);

    if (!new_q || !new_k || read_heads(c, r, q, l, &r->x[0]) < 0 ||
        (k && read_heads(c, r, k, l, &r->x[1]) < 0))
        return KM_FAILED;
    write_heads(r, new_q, l, &r->x[0]);
    if (k)
        write_heads(r, new_k, l, &r->x[1]);
    if (run(c, q, r) < 0 || km_return(c, 0, new_q) < 0)
        return KM_FAILED;
    return km_return(c, 1, new_k);
}

static int run_in_place(km_call *c, const km_tensor *q, const km_tensor *k, const layout *l,
                        rotary_call *r)
{
    km_tensor *q_copy, *k_copy = NULL;

    if (read_heads(c, r, q, l, &r->x[0]) < 0 ||
        overwrite_heads(c, 0, r, q, l, &r->x[0], &q_copy) < 0)
        return KM_FAILED;
    if (k) {
        KM_EXPECT(c, 1, k->data != q->data || !k->numel, "another tensor than q");
        if (read_heads(c, r, k, l, &r->x[1]) < 0 ||
            overwrite_heads(c, 1, r, k, l, &r->x[1], &k_copy) < 0)
            return KM_FAILED;
    }
    if (run(c, q, r) < 0 || (q_copy && km_copy(c, q, q_copy) < 0))
        return KM_FAILED;
    return k_copy ? km_copy(c, k, k_copy) : 0;
}

/* ---- rotary ---- */

#define ROTARY_ARGUMENTS                                                                           \
    "Tensor cos, Tensor sin, int? rotary_dim, bool interleaved, int unsqueeze_dim, str rounding"

/* Arguments q, k, cos, sin, rotary_dim, interleaved, unsqueeze_dim, rounding. */
static int take_rotary(km_call *c, const km_tensor **q, const km_tensor **k, const layout **l,
                       rotary_call *r)
{
    bool hf;

    *r = (rotary_call){ .interleaved = km_arg_bool(c, 5) };
    if (take_qk(c, 6, q, k, l, r) < 0 || take_tables(c, 4, r) < 0 ||
        km_arg_choice(c, 7, "hf", "single", &hf) < 0)
        return KM_FAILED;
    /* eager multiplies in the wider type: with a float32 table nothing is rounded before the end */
    r->round_products = hf && r->table_dtype == r->dtype;
    return 0;
}

static int rotary(km_call *c)
{
    const km_tensor *q, *k;
    const layout *l;
    rotary_call r;

    if (take_rotary(c, &q, &k, &l, &r) < 0)
        return KM_FAILED;
    r.conj = km_arg_bool(c, 8);
    return run_to_new(c, q, k, l, &r);
}
KM_KERNEL(rotary)
KM_KERNEL_AS(rotary_fwd, rotary)

/* (Tensor(a!) q, Tensor(b!)? k, ...) */
static int rotary_inplace(km_call *c)
{
    const km_tensor *q, *k;
    const layout *l;
    rotary_call r;

    if (take_rotary(c, &q, &k, &l, &r) < 0)
        return KM_FAILED;
    return run_in_place(c, q, k, l, &r);
}
KM_KERNEL(rotary_inplace)

/* ---- rotary_embedding ---- */

/* Reads a position of either type. */
static int64_t position_at(const rotary_call *r, int64_t i)
{
    return r->positions_dtype == KM_INT64 ? ((const int64_t *)r->positions)[i]
                                          : ((const int32_t *)r->positions)[i];
}

static int take_positions(km_call *c, int i, rotary_call *r)
{
    const km_tensor *t = km_arg_tensor(c, i);

    KM_EXPECT(c, i,
              t->ndim == 1 && t->numel == r->length &&
                  (t->dtype == KM_INT32 || t->dtype == KM_INT64),
              "[%lld] in int32 or int64", (long long)r->length);
    t = km_contiguous(c, t);
    if (!t)
        return KM_FAILED;
    r->positions = t->data;
    r->positions_dtype = t->dtype;
    for (int64_t k = 0; k < r->length && t->device_type == KM_CPU; k++)
        KM_EXPECT(c, i, position_at(r, k) >= 0 && position_at(r, k) < r->table_rows,
                  "positions from 0 to %lld (number %lld is %lld)", (long long)r->table_rows - 1,
                  (long long)k, (long long)position_at(r, k));
    return 0;
}

static int take_cache(km_call *c, int i, rotary_call *r)
{
    const km_tensor *t = km_arg_tensor(c, i);
    int64_t rotated = t->ndim == 2 ? t->sizes[1] : 0;

    KM_EXPECT(c, i,
              rotated >= 2 && rotated % 2 == 0 && rotated <= r->columns &&
                  (t->dtype == r->dtype || t->dtype == KM_FLOAT32),
              "[positions, what is rotated: even, from 2 to %lld] in %s%s", (long long)r->columns,
              km_dtype_name(r->dtype), r->dtype == KM_FLOAT32 ? "" : " or float32");
    t = with_dense_last(c, t);
    if (!t)
        return KM_FAILED;
    r->half = rotated / 2;
    r->table_dtype = t->dtype;
    r->table_rows = t->sizes[0];
    r->cos = (rotary_table){ t->data, { 0, t->strides[0] } };
    r->sin = (rotary_table){ after(t->data, r->half, t->dtype), { 0, t->strides[0] } };
    return 0;
}

static bool is_tokens(const km_tensor *t, int64_t columns)
{
    if (t->ndim == 2)
        return columns > 0 && t->sizes[1] % columns == 0;
    return t->ndim == 3 && t->sizes[2] == columns;
}

static int64_t heads_of(const km_tensor *t, int64_t columns)
{
    return t->ndim == 2 ? t->sizes[1] / columns : t->sizes[1];
}

/* Arguments q, k, positions, cos_sin_cache, head_size, interleaved. */
static int take_embedding(km_call *c, const km_tensor **q, const km_tensor **k, rotary_call *r)
{
    *r = (rotary_call){ .interleaved = km_arg_bool(c, 5), .batch = 1 };
    *q = km_arg_tensor(c, 0);
    *k = km_arg_optional(c, 1);
    KM_EXPECT(c, 0, km_is_floating(*q) && ((*q)->ndim == 3 || (*q)->ndim == 2),
              "float32, float16 or bfloat16 [T, heads, D], or [T, heads * D] with head_size");
    r->columns = km_arg_int(c, 4);
    if (!km_arg_given(c, 4) && (*q)->ndim == 3)
        r->columns = km_size(*q, 2);
    KM_EXPECT(c, 4, r->columns >= 1 && is_tokens(*q, r->columns),
              "D, which divides the last size of q, %lld", (long long)km_size(*q, -1));
    r->dtype = (*q)->dtype;
    r->length = (*q)->sizes[0];
    r->x[0].heads = heads_of(*q, r->columns);
    if (*k) {
        KM_EXPECT(c, 1,
                  (*k)->dtype == r->dtype && is_tokens(*k, r->columns) &&
                      (*k)->sizes[0] == r->length,
                  "%s [%lld, heads, %lld] or [%lld, heads * %lld]", km_dtype_name(r->dtype),
                  (long long)r->length, (long long)r->columns, (long long)r->length,
                  (long long)r->columns);
        r->x[1].heads = heads_of(*k, r->columns);
    }
    if (take_cache(c, 3, r) < 0)
        return KM_FAILED;
    return take_positions(c, 2, r);
}

static int rotary_embedding(km_call *c)
{
    const km_tensor *q, *k;
    rotary_call r;

    if (take_embedding(c, &q, &k, &r) < 0)
        return KM_FAILED;
    r.conj = km_arg_bool(c, 6);
    return run_to_new(c, q, k, &tokens, &r);
}
KM_KERNEL(rotary_embedding)
KM_KERNEL_AS(rotary_embedding_fwd, rotary_embedding)

/* (Tensor(a!) q, Tensor(b!)? k, ...) */
static int rotary_embedding_inplace(km_call *c)
{
    const km_tensor *q, *k;
    rotary_call r;

    if (take_embedding(c, &q, &k, &r) < 0)
        return KM_FAILED;
    return run_in_place(c, q, k, &tokens, &r);
}
KM_KERNEL(rotary_embedding_inplace)

/* ---- norms ---- */

#define NORM_ARGUMENTS "Tensor q_weight, Tensor? k_weight, float eps, float weight_offset"

static int take_weight(km_call *c, int i, const rotary_call *r, rotary_heads *x)
{
    const km_tensor *w = km_arg_tensor(c, i);

    KM_EXPECT(c, i,
              w->ndim == 1 && w->sizes[0] == r->columns &&
                  (w->dtype == r->dtype || w->dtype == KM_FLOAT32),
              "[%lld] in %s%s", (long long)r->columns, km_dtype_name(r->dtype),
              r->dtype == KM_FLOAT32 ? "" : " or float32");
    w = km_contiguous(c, w);
    if (!w)
        return KM_FAILED;
    x->weight = w->data;
    x->weight_dtype = w->dtype;
    return 0;
}

/* From argument `at`: q_weight, k_weight, eps, weight_offset. */
static int take_norm(km_call *c, int at, const km_tensor *k, rotary_call *r)
{
    double eps = km_arg_float(c, at + 2);

    if (take_weight(c, at, r, &r->x[0]) < 0)
        return KM_FAILED;
    KM_EXPECT(c, at + 1, !k == !km_arg_given(c, at + 1), k ? "the weight of k" : "None, as k is");
    if (k && take_weight(c, at + 1, r, &r->x[1]) < 0)
        return KM_FAILED;
    KM_EXPECT(c, at + 1, !k || r->x[1].weight_dtype == r->x[0].weight_dtype,
              "the dtype of q_weight");
    KM_EXPECT(c, at + 2, isfinite(eps) && eps >= 0, "a finite number, at least 0");
    r->normalized = true;
    r->eps = (float)eps;
    r->weight_offset = (float)km_arg_float(c, at + 3);
    return 0;
}

/* As rotary, and q_weight, k_weight, eps, weight_offset from argument 8. */
static int qk_norm_rotary(km_call *c)
{
    const km_tensor *q, *k;
    const layout *l;
    rotary_call r;

    if (take_rotary(c, &q, &k, &l, &r) < 0 || take_norm(c, 8, k, &r) < 0)
        return KM_FAILED;
    r.round_norm = strcmp(km_arg_text(c, 7), "hf") == 0;
    return run_to_new(c, q, k, l, &r);
}
KM_KERNEL(qk_norm_rotary)
KM_KERNEL_AS(qk_norm_rotary_fwd, qk_norm_rotary)

/* Arguments q, k, q_weight, k_weight, eps, weight_offset, rounding: a rotation of no dimensions. */
static int take_qk_norm(km_call *c, const km_tensor **q, const km_tensor **k, const layout **l,
                        rotary_call *r)
{
    *r = (rotary_call){ .half = 0 };
    *q = km_arg_tensor(c, 0);
    *k = km_arg_optional(c, 1);
    KM_EXPECT(c, 0, km_is_floating(*q) && ((*q)->ndim == 3 || (*q)->ndim == 4),
              "a float32, float16 or bfloat16 tensor of three or four dimensions");
    *l = layout_of(*q, *k);
    if (take_heads(c, *q, *k, *l, r) < 0 || take_norm(c, 2, *k, r) < 0)
        return KM_FAILED;
    return km_arg_choice(c, 6, "hf", "single", &r->round_norm);
}

static int qk_norm(km_call *c)
{
    const km_tensor *q, *k;
    const layout *l;
    rotary_call r;

    if (take_qk_norm(c, &q, &k, &l, &r) < 0)
        return KM_FAILED;
    return run_to_new(c, q, k, l, &r);
}
KM_KERNEL(qk_norm)
KM_KERNEL_AS(qk_norm_fwd, qk_norm)

/* (Tensor(a!) q, Tensor(b!)? k, ...) */
static int qk_norm_inplace(km_call *c)
{
    const km_tensor *q, *k;
    const layout *l;
    rotary_call r;

    if (take_qk_norm(c, &q, &k, &l, &r) < 0)
        return KM_FAILED;
    return run_in_place(c, q, k, l, &r);
}
KM_KERNEL(qk_norm_inplace)

/* ---- the Hub's apply_rotary ---- */

/* (Tensor x1, Tensor x2, Tensor cos, Tensor sin, Tensor(a!) out1, Tensor(b!) out2, bool conj) */
static int apply_rotary(km_call *c)
{
    const km_tensor *x1 = km_arg_tensor(c, 0), *cos = km_arg_tensor(c, 2), *x2, *out[2];
    rotary_call r = { .conj = km_arg_bool(c, 6), .dtype = x1->dtype, .table_dtype = cos->dtype };
    km_tensor *copies[2] = { NULL, NULL };
    broadcast b;
    int at = 0;

    KM_EXPECT(c, 0, km_is_floating(x1) && x1->ndim >= 2 && x1->ndim <= 4,
              "a float32, float16 or bfloat16 tensor of two to four dimensions");
    if (take_half(c, 1, x1, &x2) < 0 || take_half(c, 4, x1, &out[0]) < 0 ||
        take_half(c, 5, x1, &out[1]) < 0)
        return KM_FAILED;
    r.half = km_size(x1, -1);
    r.columns = 2 * r.half;
    b.heads = head_dimension(cos, km_arg_tensor(c, 3));
    for (int d = 0; d < 3; d++) {
        b.sizes[d] = padded(x1->sizes, x1->ndim, d, 1);
        if (d == b.heads)
            r.x[0].heads = b.sizes[d];
        else
            *(at++ ? &r.length : &r.batch) = b.sizes[d];
    }
    if (take_broadcast_table(c, 2, &r, &b, &r.cos) < 0 ||
        take_broadcast_table(c, 3, &r, &b, &r.sin) < 0)
        return KM_FAILED;
    if (x1->numel == 0)
        return 0;
    if (read_halves(c, x1, x2, &b, &r.x[0]) < 0 || write_halves(c, out, &b, &r.x[0], copies) < 0 ||
        run(c, x1, &r) < 0)
        return KM_FAILED;
    for (int i = 0; i < 2; i++)
        if (copies[i] && km_copy(c, out[i], copies[i]) < 0)
            return KM_FAILED;
    return 0;
}
KM_KERNEL(apply_rotary)

#ifdef CUDA_KERNEL
#define BOTH(name) .cpu = &name##_kernel, .cuda = &name##_kernel
#else
#define BOTH(name) .cpu = &name##_kernel
#endif

static const km_op ops[] = {
    { "rotary(Tensor q, Tensor? k, Tensor cos, Tensor sin, int? rotary_dim=None, bool "
      "interleaved=False, int unsqueeze_dim=1, str rounding=\"hf\", bool conj=False) -> (Tensor, "
      "Tensor)",
      BOTH(rotary) },
    { "rotary_embedding(Tensor q, Tensor? k, Tensor positions, Tensor cos_sin_cache, int? "
      "head_size=None, bool interleaved=False, bool conj=False) -> (Tensor, Tensor)",
      BOTH(rotary_embedding) },
    { "qk_norm_rotary(Tensor q, Tensor? k, " ROTARY_ARGUMENTS
      ", Tensor q_weight, Tensor? k_weight, float eps=1e-6, float weight_offset=0.0) -> (Tensor, "
      "Tensor)",
      BOTH(qk_norm_rotary) },
    { "qk_norm(Tensor q, Tensor? k, Tensor q_weight, Tensor? k_weight, float eps=1e-6, float "
      "weight_offset=0.0, str rounding=\"hf\") -> (Tensor, Tensor)",
      BOTH(qk_norm) },

    { "_rotary_fwd(Tensor q, Tensor? k, " ROTARY_ARGUMENTS ", bool conj) -> (Tensor, Tensor)",
      BOTH(rotary_fwd) },
    { "_rotary_inplace(Tensor(a!) q, Tensor(b!)? k, " ROTARY_ARGUMENTS ") -> ()",
      BOTH(rotary_inplace) },
    { "_rotary_embedding_fwd(Tensor q, Tensor? k, Tensor positions, Tensor cos_sin_cache, int? "
      "head_size, bool interleaved, bool conj) -> (Tensor, Tensor)",
      BOTH(rotary_embedding_fwd) },
    { "_rotary_embedding_inplace(Tensor(a!) q, Tensor(b!)? k, Tensor positions, Tensor "
      "cos_sin_cache, int? head_size, bool interleaved) -> ()",
      BOTH(rotary_embedding_inplace) },
    { "_qk_norm_rotary_fwd(Tensor q, Tensor? k, " ROTARY_ARGUMENTS ", " NORM_ARGUMENTS
      ") -> (Tensor, Tensor)",
      BOTH(qk_norm_rotary_fwd) },
    { "_qk_norm_fwd(Tensor q, Tensor? k, " NORM_ARGUMENTS ", str rounding) -> (Tensor, Tensor)",
      BOTH(qk_norm_fwd) },
    { "_qk_norm_inplace(Tensor(a!) q, Tensor(b!)? k, " NORM_ARGUMENTS ", str rounding) -> ()",
      BOTH(qk_norm_inplace) },
    { "_apply_rotary(Tensor x1, Tensor x2, Tensor cos, Tensor sin, Tensor(a!) out1, Tensor(b!) "
      "out2, bool conj) -> ()",
      BOTH(apply_rotary) },
};
KM_OPS(ops)
