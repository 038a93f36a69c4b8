/* rotary.h: what both backends do: rotary position embedding (Su et al., 2021) of the heads of
 * queries and keys.
 *
 * For each batch, position and head, x is a vector of D elements; the first R of them are rotated,
 * in pairs (x1, x2), i < R / 2:
 *
 *     x1 = x[i], x2 = x[R / 2 + i]       or x[2 * i], x[2 * i + 1] when interleaved
 *     y1 = x1 * cos[i] - x2 * sin[i]
 *     y2 = x2 * cos[second + i] + x1 * sin[second + i]
 *
 * With round_products each product is rounded to the dtype before the sum, which is rounded in any
 * case; without, all is float32 until then. conj is the transposed rotation, which is the gradient:
 *
 *     y1 = x1 * cos[i] + x2 * sin[second + i]
 *     y2 = x2 * cos[second + i] - x1 * sin[i]
 *
 * The other D - R elements pass through: they are copied unless the call is in place. A position
 * outside the table makes the R elements NaN on CUDA; on the CPU the caller has checked.
 *
 * With a weight, x is normalised first (Zhang and Sennrich, 2019), over all D elements:
 *
 *     n = x / sqrt(mean(x * x) + eps)    rounded to the dtype when round_norm
 *     x = n * (weight_offset + weight)   rounded to the dtype when round_norm
 *
 * and R may be 0: then that is all.
 *
 * Everything between the roundings is float32. A head's bits depend on the head, D, R and the
 * dtypes: never on how many heads or positions there are, on alignment, strides or threads.
 *
 * Elements of a head are dense; the other strides are free, also 0 in what is read. No alignment
 * beyond the element's is assumed. Offsets are 64-bit. In place is allowed: `to` may be `from`,
 * with equal strides.
 */
#ifndef KERNMILL_ROTARY_H
#define KERNMILL_ROTARY_H

#include <kernmill/op.h>

/* The dimensions that strides are given for, in elements. */
enum { ROTARY_BATCH, ROTARY_POSITION, ROTARY_HEAD, ROTARY_STRIDES };

/* Queries, or keys. Halves have pointers of their own, so that they may be separate tensors; when
 * interleaved the second ones are not used. What passes through follows `from` at R. */
typedef struct {
    const void *from, *from_second;
    void *to, *to_second;
    int64_t from_strides[ROTARY_STRIDES], to_strides[ROTARY_STRIDES];
    int64_t heads;
    const void *weight; /* [D]; NULL: no norm */
    km_dtype weight_dtype;
} rotary_heads;

typedef struct {
    const void *data;
    int64_t strides[2]; /* ROTARY_BATCH and ROTARY_POSITION */
} rotary_table;

typedef struct {
    int64_t batch, length; /* both at least 1 */
    int64_t columns;       /* D */
    int64_t half;          /* R / 2; 0 with weights alone: nothing is rotated */
    km_dtype dtype;        /* of what is rotated */
    km_dtype table_dtype;  /* dtype or float32 */
    rotary_heads x[2];     /* queries and keys; either may have no heads */
    rotary_table cos, sin; /* one row a position, or a value of `positions`; unread if R is 0 */
    int64_t second;        /* where y2's part of a table row begins: R / 2, or 0 for y1's again */
    const void *positions; /* [length] of int32 or int64, batch 1; NULL: the position itself */
    km_dtype positions_dtype;
    int64_t table_rows; /* with positions: how many there are */
    bool interleaved, conj, round_products;
    bool normalized; /* x has weights */
    bool round_norm;
    float eps, weight_offset;
} rotary_call;

void rotary_cpu(const rotary_call *r);

/* Launches on the call's stream and returns 0 or KM_FAILED (km_error has been called). */
int rotary_cuda(km_call *c, const rotary_call *r);

#endif
