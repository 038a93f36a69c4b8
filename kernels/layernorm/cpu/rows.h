/* cpu/rows.h: the row loops of layernorm_cpu.c, compiled once for each instruction set
 * (kernmill/isa.h).
 *
 * Sums: columns are taken in blocks of BLOCK; within a block a few vectors of eight float lanes are
 * kept, so that a lane adds few terms; the blocks are added in double.
 */
#include <kernmill/vec.h>

/* s of the forward: x, or x + residual, rounded when asked for. */
VEC_FN void ISA(load_sum)(vec *s, const layer_norm_forward *f, km_dtype dtype, const void *x,
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

/* A row, and what was found about it: s - middle - rest is the centred value. */
typedef struct {
    const void *x, *residual;
    float *held; /* s once it has been read, [columns]; NULL: x is read again */
    void *y, *sum;
    float middle, rest, rstd;
} ISA(forward_pointers);

/* s for the first time, and again. */
VEC_FN void ISA(load_first)(vec *s, const layer_norm_forward *f, const ISA(forward_pointers) * p,
                            km_dtype dtype, int64_t at, int64_t n)
{
    ISA(load_sum)(s, f, dtype, p->x, p->residual, at, n);
    if (p->held)
        ISA(store)(KM_FLOAT32, p->held, at, n, s);
}

VEC_FN void ISA(load_again)(vec *s, const layer_norm_forward *f, const ISA(forward_pointers) * p,
                            km_dtype dtype, int64_t at, int64_t n)
{
    if (p->held)
        ISA(load)(s, KM_FLOAT32, p->held, at, n);
    else
        ISA(load_sum)(s, f, dtype, p->x, p->residual, at, n);
}

/* The mean of s, in float. */
VEC_FN float ISA(row_middle)(const layer_norm_forward *f, const ISA(forward_pointers) * p,
                             km_dtype dtype)
{
    double total = 0;

    for (int64_t from = 0; from < f->columns; from += BLOCK) {
        int64_t to = from + BLOCK < f->columns ? from + BLOCK : f->columns, i = from;
        vec a[4] = { { 0 }, { 0 }, { 0 }, { 0 } }, s;
        for (; i + 4 * VEC_LANES <= to; i += 4 * VEC_LANES)
            for (int k = 0; k < 4; k++) {
                ISA(load_first)(&s, f, p, dtype, i + k * VEC_LANES, VEC_LANES);
                a[k] += s;
            }
        for (; i + VEC_LANES <= to; i += VEC_LANES) {
            ISA(load_first)(&s, f, p, dtype, i, VEC_LANES);
            a[0] += s;
        }
        if (i < to) {
            ISA(load_first)(&s, f, p, dtype, i, to - i);
            a[1] += s;
        }
        a[0] = (a[0] + a[1]) + (a[2] + a[3]);
        total += (double)ISA(add_lanes)(&a[0]);
    }
    return (float)(total / (double)f->columns);
}

/* `n` lanes of d = s - middle; the lanes behind them are 0, as if they were not there. */
VEC_FN void ISA(load_centred)(vec *d, const layer_norm_forward *f, const ISA(forward_pointers) * p,
                              km_dtype dtype, int64_t at, int64_t n)
{
    ISA(load_again)(d, f, p, dtype, at, n);
    *d -= p->middle;
    for (int64_t k = n; k < VEC_LANES; k++)
        (*d)[k] = 0;
}

/* Fills middle, rest and rstd. */
VEC_FN void ISA(row_statistics)(const layer_norm_forward *f, ISA(forward_pointers) * p,
                                km_dtype dtype)
{
    double total = 0, squares = 0, rest, variance;

    p->middle = ISA(row_middle)(f, p, dtype);
    for (int64_t from = 0; from < f->columns; from += BLOCK) {
        int64_t to = from + BLOCK < f->columns ? from + BLOCK : f->columns, i = from;
        vec a[2] = { { 0 }, { 0 } }, q[2] = { { 0 }, { 0 } }, d;
        for (; i + 2 * VEC_LANES <= to; i += 2 * VEC_LANES)
            for (int k = 0; k < 2; k++) {
                ISA(load_centred)(&d, f, p, dtype, i + k * VEC_LANES, VEC_LANES);
                a[k] += d;
                q[k] += d * d;
            }
        for (; i < to; i += VEC_LANES) {
            int64_t n = i + VEC_LANES <= to ? VEC_LANES : to - i;
            ISA(load_centred)(&d, f, p, dtype, i, n);
            a[0] += d;
            q[0] += d * d;
        }
        a[0] += a[1];
        q[0] += q[1];
        total += (double)ISA(add_lanes)(&a[0]);
        squares += (double)ISA(add_lanes)(&q[0]);
    }
    rest = total / (double)f->columns;
    variance = squares / (double)f->columns - rest * rest;
    p->rest = (float)rest;
    p->rstd = (float)(1 / sqrt((variance < 0 ? 0 : variance) + (double)f->eps));
}

/* y and sum for the `n` columns from `at`. */
VEC_FN void ISA(forward_vector)(const layer_norm_forward *f, const ISA(forward_pointers) * p,
                                km_dtype dtype, km_dtype weight_dtype, int64_t at, int64_t n)
{
    vec s, w;

    ISA(load_again)(&s, f, p, dtype, at, n);
    if (p->residual)
        ISA(store)(dtype, p->sum, at, n, &s);
    s = (s - p->middle - p->rest) * p->rstd;
    if (f->weight) {
        ISA(load)(&w, weight_dtype, f->weight, at, n);
        s *= w;
    }
    if (f->bias) {
        ISA(load)(&w, weight_dtype, f->bias, at, n);
        s += w;
    }
    ISA(store)(dtype, p->y, at, n, &s);
}

VEC_FN void ISA(forward_row)(const layer_norm_forward *f, int64_t row, km_dtype dtype,
                             km_dtype weight_dtype)
{
    int64_t size = dtype == KM_FLOAT32 ? 4 : 2, i = 0;
    float held[HELD_COLUMNS];
    ISA(forward_pointers) p = { .x = (const char *)f->x.data + row * f->x.stride * size };

    if (dtype != KM_FLOAT32 && f->columns <= HELD_COLUMNS)
        p.held = held;
    if (f->residual.data) {
        p.residual = (const char *)f->residual.data + row * f->residual.stride * size;
        p.sum = (char *)f->sum.data + row * f->sum.stride * size;
    }
    ISA(row_statistics)(f, &p, dtype);
    if (f->rstd) {
        f->mean[row] = p.middle + p.rest;
        f->rstd[row] = p.rstd;
    }
    if (!f->y.data)
        return;
    p.y = (char *)f->y.data + row * f->y.stride * size;
    for (; i + VEC_LANES <= f->columns; i += VEC_LANES)
        ISA(forward_vector)(f, &p, dtype, weight_dtype, i, VEC_LANES);
    if (i < f->columns)
        ISA(forward_vector)(f, &p, dtype, weight_dtype, i, f->columns - i);
}

/* The rows of one call of the backward's loops; dsum, dx and the partial sums may be NULL. */
typedef struct {
    const void *dy, *s, *dsum;
    void *dx;
    float *dweight, *dbias;
    float mean, rstd;
    float mean_g, mean_gn;
} ISA(backward_pointers);

/* g = dy * weight and n = (s - mean) * rstd for the `n` columns from `at`; *dy as it came: 0 behind
 * them, and so is g. */
VEC_FN void ISA(load_gradient)(vec *dy, vec *g, vec *n, const layer_norm_backward *b,
                               const ISA(backward_pointers) * p, km_dtype dtype,
                               km_dtype weight_dtype, int64_t at, int64_t count)
{
    vec w;

    ISA(load)(dy, dtype, p->dy, at, count);
    ISA(load)(n, dtype, p->s, at, count);
    *n = (*n - p->mean) * p->rstd;
    for (int64_t k = count; k < VEC_LANES; k++)
        (*n)[k] = 0; /* not 0 times an infinite rstd */
    *g = *dy;
    if (b->weight) {
        ISA(load)(&w, weight_dtype, b->weight, at, count);
        *g *= w;
    }
}

/* mean(g) and mean(g * n) of a row. */
VEC_FN void ISA(row_means)(const layer_norm_backward *b, ISA(backward_pointers) * p, km_dtype dtype,
                           km_dtype weight_dtype)
{
    double total[2] = { 0, 0 };

    for (int64_t from = 0; from < b->columns; from += BLOCK) {
        int64_t to = from + BLOCK < b->columns ? from + BLOCK : b->columns, i = from;
        vec a[2] = { { 0 }, { 0 } }, dy, g, n;
        for (; i + VEC_LANES <= to; i += VEC_LANES) {
            ISA(load_gradient)(&dy, &g, &n, b, p, dtype, weight_dtype, i, VEC_LANES);
            a[0] += g;
            a[1] += g * n;
        }
        if (i < to) {
            ISA(load_gradient)(&dy, &g, &n, b, p, dtype, weight_dtype, i, to - i);
            a[0] += g;
            a[1] += g * n;
        }
        total[0] += (double)ISA(add_lanes)(&a[0]);
        total[1] += (double)ISA(add_lanes)(&a[1]);
    }
    p->mean_g = (float)(total[0] / (double)b->columns);
    p->mean_gn = (float)(total[1] / (double)b->columns);
}

VEC_FN void ISA(add_to)(float *partial, int64_t at, int64_t count, const vec *terms)
{
    vec v;

    ISA(load)(&v, KM_FLOAT32, partial, at, count);
    v += *terms;
    ISA(store)(KM_FLOAT32, partial, at, count, &v);
}

/* dx, and the row's part of dweight and dbias, for the `count` columns from `at`. */
VEC_FN void ISA(backward_vector)(const layer_norm_backward *b, const ISA(backward_pointers) * p,
                                 km_dtype dtype, km_dtype weight_dtype, int64_t at, int64_t count)
{
    vec dy, g, n, v;

    ISA(load_gradient)(&dy, &g, &n, b, p, dtype, weight_dtype, at, count);
    if (p->dweight) {
        v = dy * n;
        ISA(add_to)(p->dweight, at, count, &v);
    }
    if (p->dbias)
        ISA(add_to)(p->dbias, at, count, &dy);
    if (!p->dx)
        return;
    g = (g - p->mean_g - n * p->mean_gn) * p->rstd;
    if (p->dsum) {
        ISA(load)(&v, dtype, p->dsum, at, count);
        g += v;
    }
    ISA(store)(dtype, p->dx, at, count, &g);
}

VEC_FN void ISA(backward_row)(const layer_norm_backward *b, int64_t row, int64_t part,
                              km_dtype dtype, km_dtype weight_dtype)
{
    int64_t size = dtype == KM_FLOAT32 ? 4 : 2, i = 0;
    ISA(backward_pointers)
    p = { .dy = (const char *)b->dy.data + row * b->dy.stride * size,
          .s = (const char *)b->s.data + row * b->s.stride * size,
          .dweight = b->dweight ? b->dweight_parts + part * b->columns : NULL,
          .dbias = b->dbias ? b->dbias_parts + part * b->columns : NULL,
          .mean = b->mean[row],
          .rstd = b->rstd[row] };

    if (b->dsum.data)
        p.dsum = (const char *)b->dsum.data + row * b->dsum.stride * size;
    if (b->dx.data) {
        p.dx = (char *)b->dx.data + row * b->dx.stride * size;
        ISA(row_means)(b, &p, dtype, weight_dtype);
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
    const layer_norm_forward copy = *(const layer_norm_forward *)context, *f = &copy;

#define FORWARD(t, w)                                                                              \
    for (int64_t row = begin; row < end; row++)                                                    \
    ISA(forward_row)(f, row, t, w)
    EACH_DTYPE(f->dtype, f->weight_dtype, FORWARD);
#undef FORWARD
}

/* Parts [begin, end) of the rows; each has its own partial sums. */
KM_TARGET static void ISA(backward_parts)(int64_t begin, int64_t end, void *context)
{
    const layer_norm_backward *b = context;
    size_t bytes = (size_t)b->columns * sizeof(float);
    int64_t each = rows_of_part(b->rows);

    for (int64_t part = begin; part < end; part++) {
        int64_t from = part * each, to = from + each < b->rows ? from + each : b->rows;
        if (b->dweight)
            memset(b->dweight_parts + part * b->columns, 0, bytes);
        if (b->dbias)
            memset(b->dbias_parts + part * b->columns, 0, bytes);
#define BACKWARD(t, w)                                                                             \
    for (int64_t row = from; row < to; row++)                                                      \
    ISA(backward_row)(b, row, part, t, w)
        EACH_DTYPE(b->dtype, b->weight_dtype, BACKWARD);
#undef BACKWARD
    }
}

/* One column of a gradient: the parts added in their order. */
VEC_FN void ISA(add_column)(const layer_norm_backward *b, const float *parts, void *out,
                            int64_t column)
{
    double total = 0;
    vec v = { 0 };

    for (int64_t part = 0; part < b->parts; part++)
        total += (double)parts[part * b->columns + column];
    v[0] = (float)total;
    ISA(store)(b->weight_dtype, out, column, 1, &v);
}

/* Columns [begin, end) of dweight and dbias. */
KM_TARGET static void ISA(add_parts)(int64_t begin, int64_t end, void *context)
{
    const layer_norm_backward *b = context;

    for (int64_t i = begin; i < end; i++) {
        if (b->dweight)
            ISA(add_column)(b, b->dweight_parts, b->dweight, i);
        if (b->dbias)
            ISA(add_column)(b, b->dbias_parts, b->dbias, i);
    }
}

#undef EACH_DTYPE
