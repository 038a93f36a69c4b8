/* cpu/rows.h: the loops of rotary_cpu.c, compiled once for each instruction set (kernmill/isa.h).
 *
 * A vector of x1 and one of x2 are read, rotated and written before the next, so that a call may be
 * in place.
 */
#include <kernmill/vec.h>

/* One head of one position. */
typedef struct {
    const void *from, *from_second, *weight;
    void *to, *to_second;
    const void *cos, *sin;
    km_dtype weight_dtype;
    float rstd;
} ISA(head);

/* Lanes 0, 2, 4... and 1, 3, 5... of sixteen, and back. */
VEC_FN void ISA(split_pairs)(vec *a, vec *b)
{
    vec low = *a, high = *b;

    *a = __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14);
    *b = __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15);
}

VEC_FN void ISA(join_pairs)(vec *a, vec *b)
{
    vec first = *a, second = *b;

    *a = __builtin_shufflevector(first, second, 0, 8, 1, 9, 2, 10, 3, 11);
    *b = __builtin_shufflevector(first, second, 4, 12, 5, 13, 6, 14, 7, 15);
}

/* How many of `n` pairs' elements, which lie side by side, are in the first and second vector. */
#define FIRST_OF(n)  (2 * (n) < VEC_LANES ? 2 * (n) : VEC_LANES)
#define SECOND_OF(n) (2 * (n) - FIRST_OF(n))

/* `n` elements, normalised when the head has a weight; `row` begins at element `column`. */
VEC_FN void ISA(load_x)(vec *x, const rotary_call *r, const ISA(head) * h, km_dtype dtype,
                        const void *row, int64_t column, int64_t at, int64_t n)
{
    vec w;

    ISA(load)(x, dtype, row, at, n);
    if (!h->weight)
        return;
    *x *= h->rstd;
    if (r->round_norm)
        ISA(round_to)(x, dtype);
    if (h->weight_dtype == KM_FLOAT32)
        ISA(load)(&w, KM_FLOAT32, h->weight, column + at, n);
    else
        ISA(load)(&w, dtype, h->weight, column + at, n);
    *x *= w + r->weight_offset;
    if (r->round_norm)
        ISA(round_to)(x, dtype);
}

/* *a and *b become y1 and y2 of the `n` pairs from `at`. */
VEC_FN void ISA(rotate)(vec *a, vec *b, const rotary_call *r, const ISA(head) * h, km_dtype dtype,
                        km_dtype table_dtype, int64_t at, int64_t n)
{
    vec cos1, cos2, sin1, sin2, p, q, y1;
    int64_t sin1_at = r->conj ? r->second : 0, sin2_at = r->conj ? 0 : r->second;

    ISA(load)(&cos1, table_dtype, h->cos, at, n);
    ISA(load)(&sin1, table_dtype, h->sin, sin1_at + at, n);
    cos2 = cos1;
    sin2 = sin1;
    if (r->second) {
        ISA(load)(&cos2, table_dtype, h->cos, r->second + at, n);
        ISA(load)(&sin2, table_dtype, h->sin, sin2_at + at, n);
    }
    if (r->conj) {
        sin1 = -sin1;
        sin2 = -sin2;
    }
    p = *a * cos1;
    q = *b * sin1;
    if (r->round_products) {
        ISA(round_to)(&p, dtype);
        ISA(round_to)(&q, dtype);
    }
    y1 = p - q;
    p = *b * cos2;
    q = *a * sin2;
    if (r->round_products) {
        ISA(round_to)(&p, dtype);
        ISA(round_to)(&q, dtype);
    }
    *b = p + q;
    *a = y1;
}

VEC_FN void ISA(rotate_halves)(const rotary_call *r, const ISA(head) * h, km_dtype dtype,
                               km_dtype table_dtype, int64_t at, int64_t n)
{
    vec a, b;

    ISA(load_x)(&a, r, h, dtype, h->from, 0, at, n);
    ISA(load_x)(&b, r, h, dtype, h->from_second, r->half, at, n);
    ISA(rotate)(&a, &b, r, h, dtype, table_dtype, at, n);
    ISA(store)(dtype, h->to, at, n, &a);
    ISA(store)(dtype, h->to_second, at, n, &b);
}

VEC_FN void ISA(rotate_pairs)(const rotary_call *r, const ISA(head) * h, km_dtype dtype,
                              km_dtype table_dtype, int64_t at, int64_t n)
{
    int64_t first = FIRST_OF(n), second = SECOND_OF(n);
    vec a, b = { 0 };

    ISA(load_x)(&a, r, h, dtype, h->from, 0, 2 * at, first);
    if (second)
        ISA(load_x)(&b, r, h, dtype, h->from, 0, 2 * at + first, second);
    ISA(split_pairs)(&a, &b);
    ISA(rotate)(&a, &b, r, h, dtype, table_dtype, at, n);
    ISA(join_pairs)(&a, &b);
    ISA(store)(dtype, h->to, 2 * at, first, &a);
    if (second)
        ISA(store)(dtype, h->to, 2 * at + first, second, &b);
}

/* The elements beyond R. */
VEC_FN void ISA(pass_through)(const rotary_call *r, const ISA(head) * h, km_dtype dtype)
{
    int64_t size = dtype == KM_FLOAT32 ? 4 : 2, from = 2 * r->half;
    vec x;

    if (!h->weight) {
        if (h->to != h->from)
            memcpy((char *)h->to + from * size, (const char *)h->from + from * size,
                   (size_t)((r->columns - from) * size));
        return;
    }
    for (int64_t i = from; i < r->columns; i += VEC_LANES) {
        int64_t n = r->columns - i < VEC_LANES ? r->columns - i : VEC_LANES;
        ISA(load_x)(&x, r, h, dtype, h->from, 0, i, n);
        ISA(store)(dtype, h->to, i, n, &x);
    }
}

VEC_FN float ISA(head_rstd)(const rotary_call *r, const ISA(head) * h, km_dtype dtype)
{
    vec a[4] = { { 0 }, { 0 }, { 0 }, { 0 } }, x;
    int64_t i = 0;

    for (; i + 4 * VEC_LANES <= r->columns; i += 4 * VEC_LANES)
        for (int k = 0; k < 4; k++) {
            ISA(load)(&x, dtype, h->from, i + k * VEC_LANES, VEC_LANES);
            a[k] += x * x;
        }
    for (; i + VEC_LANES <= r->columns; i += VEC_LANES) {
        ISA(load)(&x, dtype, h->from, i, VEC_LANES);
        a[0] += x * x;
    }
    if (i < r->columns) {
        ISA(load)(&x, dtype, h->from, i, r->columns - i);
        a[1] += x * x;
    }
    a[0] = (a[0] + a[1]) + (a[2] + a[3]);
    return 1.0f / sqrtf(ISA(add_lanes)(&a[0]) / (float)r->columns + r->eps);
}

VEC_FN void ISA(rotate_head)(const rotary_call *r, ISA(head) * h, km_dtype dtype,
                             km_dtype table_dtype)
{
    int64_t i = 0;

    if (h->weight)
        h->rstd = ISA(head_rstd)(r, h, dtype);
    if (r->interleaved) {
        for (; i + VEC_LANES <= r->half; i += VEC_LANES)
            ISA(rotate_pairs)(r, h, dtype, table_dtype, i, VEC_LANES);
        if (i < r->half)
            ISA(rotate_pairs)(r, h, dtype, table_dtype, i, r->half - i);
    } else {
        for (; i + VEC_LANES <= r->half; i += VEC_LANES)
            ISA(rotate_halves)(r, h, dtype, table_dtype, i, VEC_LANES);
        if (i < r->half)
            ISA(rotate_halves)(r, h, dtype, table_dtype, i, r->half - i);
    }
    if (2 * r->half < r->columns)
        ISA(pass_through)(r, h, dtype);
}

/* Where a position's angles are. */
VEC_FN void ISA(find_angles)(const rotary_call *r, ISA(head) * h, int64_t batch, int64_t position,
                             km_dtype table_dtype)
{
    int64_t size = table_dtype == KM_FLOAT32 ? 4 : 2, row = position;

    if (r->positions)
        row = r->positions_dtype == KM_INT64 ? ((const int64_t *)r->positions)[position]
                                             : ((const int32_t *)r->positions)[position];
    h->cos = (const char *)r->cos.data +
             (batch * r->cos.strides[0] + row * r->cos.strides[1]) * size;
    h->sin = (const char *)r->sin.data +
             (batch * r->sin.strides[0] + row * r->sin.strides[1]) * size;
}

/* All heads of one position. */
VEC_FN void ISA(rotate_position)(const rotary_call *r, int64_t batch, int64_t position,
                                 km_dtype dtype, km_dtype table_dtype)
{
    int64_t size = dtype == KM_FLOAT32 ? 4 : 2;
    ISA(head) h = { 0 };

    if (r->half)
        ISA(find_angles)(r, &h, batch, position, table_dtype);
    for (int which = 0; which < 2; which++) {
        const rotary_heads *x = &r->x[which];
        const int64_t *f = x->from_strides, *t = x->to_strides;
        h.weight = x->weight;
        h.weight_dtype = x->weight_dtype;
        for (int64_t i = 0; i < x->heads; i++) {
            int64_t from = (batch * f[0] + position * f[1] + i * f[2]) * size;
            int64_t to = (batch * t[0] + position * t[1] + i * t[2]) * size;
            h.from = (const char *)x->from + from;
            h.from_second = (const char *)x->from_second + from;
            h.to = (char *)x->to + to;
            h.to_second = (char *)x->to_second + to;
            ISA(rotate_head)(r, &h, dtype, table_dtype);
        }
    }
}

/* Positions [begin, end), counted through the batches; the dtypes are made constants. */
KM_TARGET static void ISA(rotate_positions)(int64_t begin, int64_t end, void *context)
{
    const rotary_call *r = context;

#define ROTATE(dtype, table_dtype)                                                                 \
    for (int64_t i = begin; i < end; i++)                                                          \
    ISA(rotate_position)(r, i / r->length, i % r->length, dtype, table_dtype)
    if (r->dtype == KM_FLOAT32)
        ROTATE(KM_FLOAT32, KM_FLOAT32);
    else if (r->dtype == KM_BFLOAT16 && r->table_dtype == KM_BFLOAT16)
        ROTATE(KM_BFLOAT16, KM_BFLOAT16);
    else if (r->dtype == KM_BFLOAT16)
        ROTATE(KM_BFLOAT16, KM_FLOAT32);
    else if (r->table_dtype == KM_FLOAT16)
        ROTATE(KM_FLOAT16, KM_FLOAT16);
    else
        ROTATE(KM_FLOAT16, KM_FLOAT32);
#undef ROTATE
}

#undef FIRST_OF
#undef SECOND_OF
