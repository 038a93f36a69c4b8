/* layernorm.h: what both backends do, for rows of a matrix.
 *
 * Forward, for each row (Ba, Kiros and Hinton, 2016):
 *
 *     s = x                              or x + residual, rounded to the dtype when round_sum
 *     m = mean(s)
 *     d = s - m,  e = mean(d)            what the rounding of m left
 *     mean = m + e
 *     rstd = 1 / sqrt(mean(d * d) - e * e + eps)
 *     n = (d - e) * rstd
 *     y = n * weight + bias              either may be missing; rounded to the dtype
 *     sum = s                            rounded to the dtype; only with a residual
 *
 * Everything between the roundings is float32. The second pass over the row is the corrected
 * two-pass algorithm (Chan, Golub and LeVeque, 1983): a row whose mean is large beside its
 * deviation keeps its digits, and a constant row has no deviation. Backward, with the mean that was
 * kept in float32:
 *
 *     n = (s - mean) * rstd
 *     g = dy * weight
 *     dx = rstd * (g - mean(g) - n * mean(g * n)) + dsum
 *     dweight = sum over rows of dy * n
 *     dbias = sum over rows of dy
 *
 * A row's bits depend on the row, the number of columns and the dtypes: never on how many rows
 * there are, on alignment, strides or threads. dweight and dbias are summed in an order that
 * depends on the number of rows (and, on CUDA, of multiprocessors) alone.
 *
 * Pointers to x-like data are of `dtype` (float32, float16 or bfloat16), rows start `stride`
 * elements apart and are dense; weight and bias are dense. No alignment beyond the element's is
 * assumed. Offsets are 64-bit. In place is allowed: y may be x and sum may be residual, with equal
 * strides.
 */
#ifndef KERNMILL_LAYERNORM_H
#define KERNMILL_LAYERNORM_H

#include <kernmill/op.h>

typedef struct {
    const void *data;
    int64_t stride; /* elements between rows */
} layer_norm_input;

typedef struct {
    void *data;
    int64_t stride;
} layer_norm_output;

typedef struct {
    int64_t rows, columns; /* both at least 1 */
    km_dtype dtype;        /* of x, residual, y and sum */
    km_dtype weight_dtype; /* of weight and bias: dtype or float32 */
    layer_norm_input x;
    layer_norm_input residual; /* data NULL: nothing is added, sum is not written */
    const void *weight, *bias; /* [columns], or NULL */
    layer_norm_output y;       /* data NULL: mean and rstd alone are wanted */
    layer_norm_output sum;
    float *mean, *rstd; /* [rows], or both NULL */
    float eps;
    bool round_sum;
} layer_norm_forward;

typedef struct {
    int64_t rows, columns;
    km_dtype dtype;        /* of dy, s, dsum and dx */
    km_dtype weight_dtype; /* of weight, dweight and dbias */
    layer_norm_input dy;
    layer_norm_input s;       /* the forward's x, or its sum */
    layer_norm_input dsum;    /* gradient that reached sum; data NULL: none */
    const void *weight;       /* [columns], or NULL */
    const float *mean, *rstd; /* [rows] */
    layer_norm_output dx;     /* data NULL: not wanted */
    void *dweight, *dbias;    /* [columns] of weight_dtype; NULL: not wanted */
    float *dweight_parts;     /* workspace: [parts, columns]; needed with dweight */
    float *dbias_parts;       /* the same, with dbias */
    int64_t parts;            /* what layer_norm_parts_cpu or _cuda said */
} layer_norm_backward;

void layer_norm_forward_cpu(const layer_norm_forward *f);
void layer_norm_backward_cpu(const layer_norm_backward *b);
/* How many partial sums of dweight and of dbias the backward makes. */
int64_t layer_norm_parts_cpu(int64_t rows);

/* These launch on the call's stream and return 0 or KM_FAILED (km_error has been called). */
int layer_norm_forward_cuda(km_call *c, const layer_norm_forward *f);
int layer_norm_backward_cuda(km_call *c, const layer_norm_backward *b);
/* As layer_norm_parts_cpu; negative when the device cannot be asked. */
int64_t layer_norm_parts_cuda(km_call *c, int64_t rows, int64_t columns, km_dtype dtype);

#endif
