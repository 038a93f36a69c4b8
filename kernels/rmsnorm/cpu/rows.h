/* cpu/rows.h: the row loops of rmsnorm_cpu.c, compiled once for each instruction set
 * (kernmill/isa.h).
 *
 * Sums: columns are taken in blocks of BLOCK; within a block four vectors of eight float lanes are
 * kept, so that a lane adds at most BLOCK / 32 terms; the blocks are added in double.
 */
#include <kernmill/vec.h>

/* s of the forward: x, or x + residual, rounded when asked for. */
VEC_FN void ISA(load_sum)(vec *s, const rms_norm_forward *f, km_dtype dtype, const void *x,
                          const void *residual, int64_t at, int64_t n)
{
    ISA(load)(s, dtype, x, at, n);
    if (residual) {
        vec r;
        ISA(load)(&r, dtype, residual, at, n);
        *s += r;
        if (f->round_sum)
            ISA(round_to)(s, dtype);
    }
}

VEC_FN float ISA(row_rstd)(const rms_norm_forward *f, km_dtype dtype, const void *x,
                           const void *residual)
{
    double total = 0;

    for (int64_t from = 0; from < f->columns; from += BLOCK) {
        int64_t to = from + BLOCK < f->columns ? from + BLOCK : f->columns, i = from;
        vec a[4] = { { 0 }, { 0 }, { 0 }, { 0 } }, s;
        for (; i + 4 * VEC_LANES <= to; i += 4 * VEC_LANES)
            for (int k = 0; k < 4; k++) {
                ISA(load_sum)(&s, f, dtype, x, residual, i + k * VEC_LANES, VEC_LANES);
                a[k] += s * s;
            }
        for (; i + VEC_LANES <= to; i += VEC_LANES) {
            ISA(load_sum)(&s, f, dtype, x, residual, i, VEC_LANES);
            a[0] += s * s;
        }
        if (i < to) {
            ISA(load_sum)(&s, f, dtype, x, residual, i, to - i);
            a[1] += s * s;
        }
        a[0] = (a[0] + a[1]) + (a[2] + a[3]);
        total += (double)ISA(add_lanes)(&a[0]);
    }
    return 1.0f / sqrtf((float)(total / (double)f->columns) + f->eps);
}

/* The rows of one call of forward_vector. */
typedef struct {
    const void *x, *residual;
    void *y, *sum;
    float rstd;
} ISA(forward_pointers);

/* y and sum for the `n` columns from `at`. */
VEC_FN void ISA(forward_vector)(const rms_norm_forward *f, const ISA(forward_pointers) * p,
                                km_dtype dtype, km_dtype weight_dtype, int64_t at, int64_t n)
{
    vec s, w;

    ISA(load_sum)(&s, f, dtype, p->x, p->residual, at, n);
    if (p->residual)
        ISA(store)(dtype, p->sum, at, n, &s);
    s *= p->rstd;
    if (f->round_normalized)
        ISA(round_to)(&s, dtype);
    if (f->weight) {
        ISA(load)(&w, weight_dtype, f->weight, at, n);
        s *= w + f->weight_offset;
    }
    ISA(store)(dtype, p->y, at, n, &s);
}

VEC_FN void ISA(forward_row)(const rms_norm_forward *f, int64_t row, km_dtype dtype,
                             km_dtype weight_dtype)
{
    int64_t size = dtype == KM_FLOAT32 ? 4 : 2, i = 0;
    ISA(forward_pointers) p = { .x = (const char *)f->x.data + row * f->x.stride * size };

    if (f->residual.data) {
        p.residual = (const char *)f->residual.data + row * f->residual.stride * size;
        p.sum = (char *)f->sum.data + row * f->sum.stride * size;
    }
    p.rstd = ISA(row_rstd)(f, dtype, p.x, p.residual);
    if (f->rstd)
        f->rstd[row] = p.rstd;
    if (!f->y.data)
        return;
    p.y = (char *)f->y.data + row * f->y.stride * size;
    for (; i + VEC_LANES <= f->columns; i += VEC_LANES)
        ISA(forward_vector)(f, &p, dtype, weight_dtype, i, VEC_LANES);
    if (i < f->columns)
        ISA(forward_vector)(f, &p, dtype, weight_dtype, i, f->columns - i);
}

/* The rows of one call of the backward's loops; dsum, dx and partial may be NULL. */
typedef struct {
    const void *dy, *s, *dsum;
    void *dx;
    float *partial;
    float rstd, mean;
} ISA(backward_pointers);

/* g = dy * (offset + weight) and n = s * rstd for the `n` columns from `at`; *dy as it came. */
VEC_FN void ISA(load_gradient)(vec *dy, vec *g, vec *n, const rms_norm_backward *b,
                               const ISA(backward_pointers) * p, km_dtype dtype,
                               km_dtype weight_dtype, int64_t at, int64_t count)
{
    vec w;

    ISA(load)(dy, dtype, p->dy, at, count);
    ISA(load)(n, dtype, p->s, at, count);
    *n *= p->rstd;
    *g = *dy;
    if (b->weight) {
        ISA(load)(&w, weight_dtype, b->weight, at, count);
        *g *= w + b->weight_offset;
    }
}

/* mean(g * n) of a row. */
VEC_FN float ISA(row_mean)(const rms_norm_backward *b, const ISA(backward_pointers) * p,
                           km_dtype dtype, km_dtype weight_dtype)
{
    double total = 0;

    for (int64_t from = 0; from < b->columns; from += BLOCK) {
        int64_t to = from + BLOCK < b->columns ? from + BLOCK : b->columns, i = from;
        vec a[2] = { { 0 }, { 0 } }, dy, g, n;
        for (; i + VEC_LANES <= to; i += VEC_LANES) {
            ISA(load_gradient)(&dy, &g, &n, b, p, dtype, weight_dtype, i, VEC_LANES);
            a[0] += g * n;
        }
        if (i < to) {
            ISA(load_gradient)(&dy, &g, &n, b, p, dtype, weight_dtype, i, to - i);
            a[1] += g * n;
        }
        a[0] += a[1];
        total += (double)ISA(add_lanes)(&a[0]);
    }
    return (float)(total / (double)b->columns);
}

/* dx, and the row's part of dweight, for the `count` columns from `at`. */
VEC_FN void ISA(backward_vector)(const rms_norm_backward *b, const ISA(backward_pointers) * p,
                                 km_dtype dtype, km_dtype weight_dtype, int64_t at, int64_t count)
{
    vec dy, g, n, v;

    ISA(load_gradient)(&dy, &g, &n, b, p, dtype, weight_dtype, at, count);
    if (p->partial) {
        vec rounded = n;
        if (b->round_normalized)
            ISA(round_to)(&rounded, dtype);
        ISA(load)(&v, KM_FLOAT32, p->partial, at, count);
        v += dy * rounded;
        ISA(store)(KM_FLOAT32, p->partial, at, count, &v);
    }
    if (!p->dx)
        return;
    g = (g - n * p->mean) * p->rstd;
    if (p->dsum) {
        ISA(load)(&v, dtype, p->dsum, at, count);
        g += v;
    }
    ISA(store)(dtype, p->dx, at, count, &g);
}

VEC_FN void ISA(backward_row)(const rms_norm_backward *b, int64_t row, float *partial,
                              km_dtype dtype, km_dtype weight_dtype)
{
    int64_t size = dtype == KM_FLOAT32 ? 4 : 2, i = 0;
    ISA(backward_pointers)
    p = { .dy = (const char *)b->dy.data + row * b->dy.stride * size,
          .s = (const char *)b->s.data + row * b->s.stride * size,
          .partial = partial,
          .rstd = b->rstd[row] };

    if (b->dsum.data)
        p.dsum = (const char *)b->dsum.data + row * b->dsum.stride * size;
    if (b->dx.data) {
        p.dx = (char *)b->dx.data + row * b->dx.stride * size;
        p.mean = ISA(row_mean)(b, &p, dtype, weight_dtype);
    }
    for (; i + VEC_LANES <= b->columns; i += VEC_LANES)
        ISA(backward_vector)(b, &p, dtype, weight_dtype, i, VEC_LANES);
    if (i < b->columns)
        ISA(backward_vector)(b, &p, dtype, weight_dtype, i, b->columns - i);
}

/* The loops, with the dtypes made constants. */
#define EACH_DTYPE(dtype, weight_dtype, CALL)                                                      \
    do {                                                                                           \
        if ((dtype) == KM_FLOAT32)                                                                 \
            CALL(KM_FLOAT32, KM_FLOAT32);                                                          \
        else if ((dtype) == KM_BFLOAT16 && (weight_dtype) == KM_BFLOAT16)                          \
            CALL(KM_BFLOAT16, KM_BFLOAT16);                                                        \
        else if ((dtype) == KM_BFLOAT16)                                                           \
            CALL(KM_BFLOAT16, KM_FLOAT32);                                                         \
        else if ((weight_dtype) == KM_FLOAT16)                                                     \
            CALL(KM_FLOAT16, KM_FLOAT16);                                                          \
        else                                                                                       \
            CALL(KM_FLOAT16, KM_FLOAT32);                                                          \
    } while (0)

/* A copy, which no store can change: conditions on it leave the loops. */
KM_TARGET static void ISA(forward_rows)(int64_t begin, int64_t end, void *context)
{
    const rms_norm_forward copy = *(const rms_norm_forward *)context, *f = &copy;

#define FORWARD(t, w)                                                                              \
    for (int64_t row = begin; row < end; row++)                                                    \
    ISA(forward_row)(f, row, t, w)
    EACH_DTYPE(f->dtype, f->weight_dtype, FORWARD);
#undef FORWARD
}

/* Parts [begin, end) of the rows; each has its own partial sum. */
KM_TARGET static void ISA(backward_parts)(int64_t begin, int64_t end, void *context)
{
    const rms_norm_backward *b = context;
    int64_t each = rows_of_part(b->rows);

    for (int64_t part = begin; part < end; part++) {
        int64_t from = part * each, to = from + each < b->rows ? from + each : b->rows;
        float *partial = b->dweight ? b->partials + part * b->columns : NULL;
        if (partial)
            memset(partial, 0, (size_t)b->columns * sizeof *partial);
#define BACKWARD(t, w)                                                                             \
    for (int64_t row = from; row < to; row++)                                                      \
    ISA(backward_row)(b, row, partial, t, w)
        EACH_DTYPE(b->dtype, b->weight_dtype, BACKWARD);
#undef BACKWARD
    }
}

/* Columns [begin, end) of dweight: the parts added in their order. */
KM_TARGET static void ISA(add_parts)(int64_t begin, int64_t end, void *context)
{
    const rms_norm_backward *b = context;

    for (int64_t i = begin; i < end; i++) {
        double total = 0;
        vec v = { 0 };
        for (int64_t part = 0; part < b->parts; part++)
            total += (double)b->partials[part * b->columns + i];
        v[0] = (float)total;
        ISA(store)(b->weight_dtype, b->dweight, i, 1, &v);
    }
}

#undef EACH_DTYPE
