/* cuda/rmsnorm_args.h: the kernels' arguments, one struct by value; shared by the C that launches
 * and the device code. Sizes in elements. */
#ifndef KERNMILL_RMSNORM_ARGS_H
#define KERNMILL_RMSNORM_ARGS_H

/* long long and int rather than stdint.h's names, which the run-time compiler does not have. */
typedef struct {
    long long rows;
    long long columns;
    float inverse_columns;             /* 1 / columns */
    const void *x, *residual, *weight; /* residual only in the add_ kernels; weight may be NULL */
    void *y, *sum;                     /* y NULL: rstd alone */
    float *rstd;                       /* may be NULL */
    long long x_stride, residual_stride, y_stride, sum_stride;
    float eps, weight_offset;
    int round_normalized, round_sum;
    int float_weight; /* weight is float32, whatever x is */
    int aligned; /* every row starts at 16 bytes and holds whole 16-byte vectors; so does weight */
    int row_threads;   /* _any kernels: how many threads share a row */
    int streaming;     /* stores leave the caches first */
    int trigger_first; /* the successor may start before this one has loaded */
    int prefetch_rows; /* x is dense, and worth asking for before the predecessor has ended */
} rms_norm_forward_args;

typedef struct {
    long long rows;
    long long columns;
    float inverse_columns;              /* 1 / columns */
    const void *dy, *s, *dsum, *weight; /* dsum and weight may be NULL */
    const float *rstd;
    void *dx;        /* may be NULL */
    float *partials; /* [parts, columns], or NULL when dweight is not wanted */
    long long dy_stride, s_stride, dsum_stride, dx_stride;
    float weight_offset;
    int round_normalized;
    int float_weight, aligned;
    int row_threads; /* _long and _any kernels: how many threads share a row */
    int stages;      /* ring kernels: rows under way in each group, at least 2 */
    int streaming;   /* stores leave the caches first */
} rms_norm_backward_args;

typedef struct {
    const float *partials; /* [parts] rows of columns, part_stride apart: one of each block */
    void *dweight;         /* [columns] */
    long long columns, part_stride;
    int parts;
} rms_norm_dweight_args;

#endif
