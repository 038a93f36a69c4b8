/* cuda/layernorm_args.h: the kernels' arguments, one struct by value; shared by the C that launches
 * and the device code. Sizes in elements. */
#ifndef KERNMILL_LAYERNORM_ARGS_H
#define KERNMILL_LAYERNORM_ARGS_H

/* long long and int rather than stdint.h's names, which the run-time compiler does not have. */
typedef struct {
    long long rows;
    long long columns;
    float inverse_columns;     /* 1 / columns */
    const void *x, *residual;  /* residual only in the add_, _any and _long kernels */
    const void *weight, *bias; /* may be NULL */
    void *y, *sum;             /* y NULL: mean and rstd alone */
    float *mean, *rstd;        /* both may be NULL */
    long long x_stride, residual_stride, y_stride, sum_stride;
    float eps;
    int round_sum;
    int float_weight;  /* weight and bias are float32, whatever x is */
    int aligned;       /* every row starts at 16 bytes and holds whole 16-byte vectors; so do weight
                          and bias */
    int row_threads;   /* _any kernels: how many threads share a row */
    int streaming;     /* stores leave the caches first */
    int trigger_first; /* the successor may start before this one has loaded */
    int prefetch_rows; /* x is dense, and worth asking for before the predecessor has ended */
} layer_norm_forward_args;

typedef struct {
    long long rows;
    long long columns;
    float inverse_columns;              /* 1 / columns */
    const void *dy, *s, *dsum, *weight; /* dsum and weight may be NULL */
    const float *mean, *rstd;
    void *dx;             /* may be NULL */
    float *dweight_parts; /* [parts, columns], or NULL when dweight is not wanted */
    float *dbias_parts;   /* the same */
    long long dy_stride, s_stride, dsum_stride, dx_stride;
    int float_weight;
    int row_threads; /* _long and _any kernels: how many threads share a row */
} layer_norm_backward_args;

/* One or two gradients, chosen by blockIdx.y. */
typedef struct {
    const float *parts[2]; /* [count, columns] */
    void *out[2];          /* [columns] */
    long long columns;
    int count;
} layer_norm_parts_args;

#endif
