/* cuda/rows.h: what the launches of the forward and of the backward share. */
#ifndef KERNMILL_RMSNORM_ROWS_H
#define KERNMILL_RMSNORM_ROWS_H

#include <kernmill/launch.h>

enum { DTYPES = 3 };

/* The kernels of each dtype, in the order of dtype_index; ROW lists those of a prefix. */
#define KERNELS(ROW, prefix) { ROW(prefix "f32_"), ROW(prefix "f16_"), ROW(prefix "bf16_") }

static inline int dtype_index(km_dtype d)
{
    return d == KM_FLOAT32 ? 0 : d == KM_FLOAT16 ? 1 : 2;
}

static inline int64_t vectors_of(int64_t columns, km_dtype dtype)
{
    int64_t lanes = (int64_t)(16 / km_dtype_bytes(dtype));

    return (columns + lanes - 1) / lanes;
}

/* Whether all rows start at a multiple of 16 bytes; `stride` in elements of `bytes`. */
static inline bool is_aligned(const void *data, int64_t stride, int64_t bytes)
{
    return (uintptr_t)data % 16 == 0 && stride * bytes % 16 == 0;
}

static inline int check_grid(km_call *c, int64_t blocks)
{
    if (blocks > INT32_MAX)
        return km_error(c, "%lld blocks of rows; a launch holds %d", (long long)blocks, INT32_MAX);
    return 0;
}

#endif
