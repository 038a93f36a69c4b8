/* cpu/rows.h: the row loops of rmsnorm_cpu.c, compiled once for each instruction set (see vec.h).
 *
 * Sums: columns are taken in blocks of BLOCK; within a block four vectors of eight float lanes are
 * kept, so that a lane adds at most BLOCK / 32 terms; the blocks are added in double.
 */
#include "vec.h"

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
        int64_t to = from + BLOCK < f->columns ? from + BLOCK : f->columns;
        vec a[4] = { { 0 }, { 0 }, { 0 }, { 0 } }, s;
        for (int64_t i = from; i < to; i += 4 * VEC_LANES)
            for (int k = 0; k < 4 && i + k * VEC_LANES < to; k++) {
                ISA(load_sum)(&s, f, dtype, x, residual, i + k * VEC_LANES, to - i - k * VEC_LANES);
                a[k] += s * s;
            }
        a[0] = (a[0] + a[1]) + (a[2] + a[3]);
        total += (double)ISA(add_lanes)(&a[0]);
    }
    return 1.0f / sqrtf((float)(total / (double)f->columns) + f->eps);
}

VEC_FN void ISA(forward_row)(const rms_norm_forward *f, int64_t row, km_dtype dtype,
                             km_dtype weight_dtype)
{
    int64_t size = dtype == KM_FLOAT32 ? 4 : 2;
    const char *x = (const char *)f->x.data + row * f->x.stride * size;
    const char *residual = f->residual.data;
    char *y = f->y.data, *sum = f->sum.data;
    float rstd;

    if (residual) {
        residual += row * f->residual.stride * size;
        sum += row * f->sum.stride * size;
    }
    rstd = ISA(row_rstd)(f, dtype, x, residual);
    if (f->rstd)
        f->rstd[row] = rstd;
    if (!y)
        return;
    y += row * f->y.stride * size;
    for (int64_t i = 0; i < f->columns; i += VEC_LANES) {
        int64_t n = f->columns - i;
        vec s, w;
        ISA(load_sum)(&s, f, dtype, x, residual, i, n);
        if (residual)
            ISA(store)(dtype, sum, i, n, &s);
        s *= rstd;
        if (f->round_normalized)
            ISA(round_to)(&s, dtype);
        if (f->weight) {
            ISA(load)(&w, weight_dtype, f->weight, i, n);
            s *= w + f->weight_offset;
        }
        ISA(store)(dtype, y, i, n, &s);
    }
}

/* mean(g * s * rstd) of a row, with g = dy * (offset + weight). */
VEC_FN float ISA(row_mean)(const rms_norm_backward *b, km_dtype dtype, km_dtype weight_dtype,
                           const void *dy, const void *s, float rstd)
{
    double total = 0;

    for (int64_t from = 0; from < b->columns; from += BLOCK) {
        int64_t to = from + BLOCK < b->columns ? from + BLOCK : b->columns;
        vec a = { 0 }, g, v, w;
        for (int64_t i = from; i < to; i += VEC_LANES) {
            ISA(load)(&g, dtype, dy, i, to - i);
            ISA(load)(&v, dtype, s, i, to - i);
            if (b->weight) {
                ISA(load)(&w, weight_dtype, b->weight, i, to - i);
                g *= w + b->weight_offset;
            }
            a += g * (v * rstd);
        }
        total += (double)ISA(add_lanes)(&a);
    }
    return (float)(total / (double)b->columns);
}

/* One row: writes dx and adds to the row's partial sum of dweight. */
VEC_FN void ISA(backward_row)(const rms_norm_backward *b, int64_t row, float *partial,
                              km_dtype dtype, km_dtype weight_dtype)
{
    int64_t size = dtype == KM_FLOAT32 ? 4 : 2;
    const char *dy = (const char *)b->dy.data + row * b->dy.stride * size;
    const char *s = (const char *)b->s.data + row * b->s.stride * size;
    const char *dsum = b->dsum.data;
    char *dx = b->dx.data;
    float rstd = b->rstd[row], mean = 0;

    if (dsum)
        dsum += row * b->dsum.stride * size;
    if (dx) {
        dx += row * b->dx.stride * size;
        mean = ISA(row_mean)(b, dtype, weight_dtype, dy, s, rstd);
    }
    for (int64_t i = 0; i < b->columns; i += VEC_LANES) {
        int64_t n = b->columns - i;
        vec g, v, w, p;
        ISA(load)(&g, dtype, dy, i, n);
        ISA(load)(&v, dtype, s, i, n);
        v *= rstd;
        if (partial) {
            vec normalized = v;
            if (b->round_normalized)
                ISA(round_to)(&normalized, dtype);
            ISA(load)(&p, KM_FLOAT32, partial, i, n);
            p += g * normalized;
            ISA(store)(KM_FLOAT32, partial, i, n, &p);
        }
        if (!dx)
            continue;
        if (b->weight) {
            ISA(load)(&w, weight_dtype, b->weight, i, n);
            g *= w + b->weight_offset;
        }
        g = (g - v * mean) * rstd;
        if (dsum) {
            ISA(load)(&w, dtype, dsum, i, n);
            g += w;
        }
        ISA(store)(dtype, dx, i, n, &g);
    }
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

KM_TARGET static void ISA(forward_rows)(int64_t begin, int64_t end, void *context)
{
    const rms_norm_forward *f = context;

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
#undef ISA
#undef VEC_FN
#undef VEC_CONCAT
#undef VEC_CONCAT_
