/* rmsnorm.h: what both backends do, for rows of a matrix.
 *
 * Forward, for each row (Zhang and Sennrich, 2019):
 *
 *     s = x                              or x + residual, rounded to the dtype when round_sum
 *     rstd = 1 / sqrt(mean(s * s) + eps)
 *     n = s * rstd                       rounded to the dtype when round_normalized
 *     y = n * (weight_offset + weight)   or n without a weight; rounded to the dtype
 *     sum = s                            rounded to the dtype; only with a residual
 *
 * Everything between the roundings is float32. Backward, with n as above:
 *
 *     g = dy * (weight_offset + weight)
 *     dx = rstd * (g - s * rstd * mean(g * s * rstd)) + dsum
 *     dweight = sum over rows of dy * n
 *
 * A row's bits depend on the row, the number of columns and the dtypes: never on how many rows
 * there are, on alignment, strides or threads. dweight is summed in an order that depends on the
 * number of rows (and, on CUDA, of multiprocessors) alone.
 *
 * Pointers to x-like data are of `dtype` (float32, float16 or bfloat16), rows start `stride`
 * elements apart and are dense; weight is dense. No alignment beyond the element's is assumed.
 * Offsets are 64-bit. In place is allowed: y may be x and sum may be residual, with equal strides.
 */
#ifndef KERNMILL_RMSNORM_H
#define KERNMILL_RMSNORM_H

#include <kernmill/op.h>

typedef struct {
    const void *data;
    int64_t stride; /* elements between rows */
} rms_norm_input;

typedef struct {
    void *data;
    int64_t stride;
} rms_norm_output;

typedef struct {
    int64_t rows, columns; /* both at least 1 */
    km_dtype dtype;        /* of x, residual, y and sum */
    km_dtype weight_dtype; /* dtype or float32 */
    rms_norm_input x;
    rms_norm_input residual; /* data NULL: nothing is added, sum is not written */
    const void *weight;      /* [columns], or NULL */
    rms_norm_output y;       /* data NULL: rstd alone is wanted */
    rms_norm_output sum;
    float *rstd; /* [rows], or NULL */
    float eps, weight_offset;
    bool round_normalized;
    bool round_sum;
} rms_norm_forward;

typedef struct {
    int64_t rows, columns;
    km_dtype dtype;        /* of dy, s, dsum and dx */
    km_dtype weight_dtype; /* of weight and dweight */
    rms_norm_input dy;
    rms_norm_input s;    /* the forward's x, or its sum */
    rms_norm_input dsum; /* gradient that reached sum; data NULL: none */
    const void *weight;  /* [columns], or NULL */
    const float *rstd;   /* [rows] */
    rms_norm_output dx;  /* data NULL: not wanted */
    void *dweight;       /* [columns] of weight_dtype; NULL: not wanted */
    float *partials;     /* workspace: [parts, columns]; needed with dweight */
    int64_t parts;       /* what rms_norm_parts_cpu or _cuda said */
    float weight_offset;
    bool round_normalized;
} rms_norm_backward;

void rms_norm_forward_cpu(const rms_norm_forward *f);
void rms_norm_backward_cpu(const rms_norm_backward *b);
/* How many partial sums of dweight the backward makes. */
int64_t rms_norm_parts_cpu(int64_t rows);

/* These launch on the call's stream and return 0 or KM_FAILED (km_error has been called). */
int rms_norm_forward_cuda(km_call *c, const rms_norm_forward *f);
int rms_norm_backward_cuda(km_call *c, const rms_norm_backward *b);
/* As rms_norm_parts_cpu; negative when the device cannot be asked. */
int64_t rms_norm_parts_cuda(km_call *c, int64_t rows, int64_t columns, km_dtype dtype);

#endif
