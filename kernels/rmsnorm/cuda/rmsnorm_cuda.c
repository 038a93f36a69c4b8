/* Chooses the kernel and the launch shape, and launches.
 *
 * A shape is a number of threads for each row; which one serves a row depends on the number of
 * 16-byte vectors in it alone, never on the number of rows, so that a row's bits do not either. */
#include "../rmsnorm.h"

#include <kernmill/launch.h>

#include "rmsnorm_args.h"

KM_IMAGE(rmsnorm)
KM_IMAGE(rmsnorm_backward)

enum { SHAPES = 5, LONG = 4, VARIANTS = 6, ANY = 5, DTYPES = 3 };

/* The widest row a shape holds in registers, in vectors; the last takes any row, by reading it
 * twice. */
static const struct {
    int64_t vectors;
    int row_threads, block;
} shapes[SHAPES] = {
    { 8 * 2, 8, 128 },     { 64 * 2, 64, 256 },       { 256 * 2, 256, 256 },
    { 512 * 2, 512, 512 }, { INT64_MAX, 1024, 1024 },
};

#define SHAPE_FUNCTIONS(prefix)                                                                    \
    KM_FUNCTION(prefix "8x2"), KM_FUNCTION(prefix "64x2"), KM_FUNCTION(prefix "256x2"),            \
        KM_FUNCTION(prefix "512x2")
#define SHAPE_ROW(prefix) { SHAPE_FUNCTIONS(prefix) }
#define VARIANT_ROW(prefix)                                                                        \
    { SHAPE_FUNCTIONS(prefix), KM_FUNCTION(prefix "long"), KM_FUNCTION(prefix "any") }
#define ROWS(ROW, prefix) { ROW(prefix "f32_"), ROW(prefix "f16_"), ROW(prefix "bf16_") }

static km_function norm[DTYPES][VARIANTS] = ROWS(VARIANT_ROW, "rms_norm_");
static km_function norm_backward[DTYPES][VARIANTS] = ROWS(VARIANT_ROW, "rms_norm_backward_");
/* the kernels that take any row take the residual, too */
static km_function add_norm[DTYPES][LONG] = ROWS(SHAPE_ROW, "add_rms_norm_");
static km_function dweight[DTYPES] = { KM_FUNCTION("rms_norm_dweight_f32"),
                                       KM_FUNCTION("rms_norm_dweight_f16"),
                                       KM_FUNCTION("rms_norm_dweight_bf16") };

static int dtype_index(km_dtype d)
{
    return d == KM_FLOAT32 ? 0 : d == KM_FLOAT16 ? 1 : 2;
}

static int shape_of(int64_t columns, km_dtype dtype)
{
    int64_t lanes = (int64_t)(16 / km_dtype_bytes(dtype)), vectors = (columns + lanes - 1) / lanes;
    int i = 0;

    while (vectors > shapes[i].vectors)
        i++;
    return i;
}

/* Rows a block takes at once. */
static int64_t block_rows(int shape)
{
    return shapes[shape].block / shapes[shape].row_threads;
}

/* Whether all rows start at a multiple of 16 bytes; `stride` in elements of `bytes`. */
static bool is_aligned(const void *data, int64_t stride, int64_t bytes)
{
    return (uintptr_t)data % 16 == 0 && stride * bytes % 16 == 0;
}

static bool forward_aligned(const rms_norm_forward *f)
{
    int64_t bytes = (int64_t)km_dtype_bytes(f->dtype);

    return f->columns * bytes % 16 == 0 && is_aligned(f->x.data, f->x.stride, bytes) &&
           is_aligned(f->residual.data, f->residual.stride, bytes) &&
           is_aligned(f->y.data, f->y.stride, bytes) &&
           is_aligned(f->sum.data, f->sum.stride, bytes) && (uintptr_t)f->weight % 16 == 0;
}

static int check_grid(km_call *c, int64_t blocks)
{
    if (blocks > INT32_MAX)
        return km_error(c, "%lld blocks of rows; a launch holds %d", (long long)blocks, INT32_MAX);
    return 0;
}

int rms_norm_forward_cuda(km_call *c, const rms_norm_forward *f)
{
    int shape = shape_of(f->columns, f->dtype), aligned = forward_aligned(f);
    int64_t blocks = (f->rows + block_rows(shape) - 1) / block_rows(shape);
    rms_norm_forward_args a = {
        .rows = f->rows,
        .columns = f->columns,
        .inverse_columns = 1.0f / (float)f->columns,
        .x = f->x.data,
        .residual = f->residual.data,
        .weight = f->weight,
        .y = f->y.data,
        .sum = f->sum.data,
        .rstd = f->rstd,
        .x_stride = f->x.stride,
        .residual_stride = f->residual.stride,
        .y_stride = f->y.stride,
        .sum_stride = f->sum.stride,
        .eps = f->eps,
        .weight_offset = f->weight_offset,
        .round_normalized = f->round_normalized,
        .round_sum = f->round_sum,
        .float_weight = f->weight_dtype == KM_FLOAT32,
        .aligned = aligned,
        .row_threads = shapes[shape].row_threads,
    };
    km_launch how = { .grid = { (unsigned)blocks, 1, 1 },
                      .block = { (unsigned)shapes[shape].block, 1, 1 },
                      .programmatic = true };
    int variant = aligned ? shape : ANY, dtype = dtype_index(f->dtype);
    bool add = f->residual.data && variant < LONG;
    km_function *function = add ? &add_norm[dtype][variant] : &norm[dtype][variant];
    void *arguments[] = { &a };

    if (check_grid(c, blocks) < 0)
        return KM_FAILED;
    return km_launch_kernel(c, &rmsnorm_image, function, &how, arguments);
}

/* The backward's grid: enough blocks to fill the device, never more than there are groups of rows.
 */
static int64_t backward_blocks(const km_device *d, int64_t rows, int shape)
{
    int64_t groups = (rows + block_rows(shape) - 1) / block_rows(shape);
    int64_t full = (int64_t)d->sm_count * (1024 / shapes[shape].block);

    return groups < full ? groups : full;
}

int64_t rms_norm_parts_cuda(km_call *c, int64_t rows, int64_t columns, km_dtype dtype)
{
    const km_device *d = km_call_device(c);
    int shape = shape_of(columns, dtype);

    return d ? backward_blocks(d, rows, shape) * block_rows(shape) : KM_FAILED;
}

static bool backward_aligned(const rms_norm_backward *b)
{
    int64_t bytes = (int64_t)km_dtype_bytes(b->dtype);

    return b->columns * bytes % 16 == 0 && is_aligned(b->dy.data, b->dy.stride, bytes) &&
           is_aligned(b->s.data, b->s.stride, bytes) &&
           is_aligned(b->dsum.data, b->dsum.stride, bytes) &&
           is_aligned(b->dx.data, b->dx.stride, bytes) && (uintptr_t)b->weight % 16 == 0;
}

static int add_parts(km_call *c, const rms_norm_backward *b)
{
    rms_norm_dweight_args a = { b->partials, b->dweight, b->columns, (int)b->parts };
    int64_t blocks = (b->columns + 31) / 32;
    km_launch how = { .grid = { (unsigned)blocks, 1, 1 },
                      .block = { 256, 1, 1 },
                      .programmatic = true };
    void *arguments[] = { &a };

    if (check_grid(c, blocks) < 0)
        return KM_FAILED;
    return km_launch_kernel(c, &rmsnorm_backward_image, &dweight[dtype_index(b->weight_dtype)],
                            &how, arguments);
}

int rms_norm_backward_cuda(km_call *c, const rms_norm_backward *b)
{
    const km_device *d = km_call_device(c);
    int shape = shape_of(b->columns, b->dtype), aligned = backward_aligned(b);
    rms_norm_backward_args a = {
        .rows = b->rows,
        .columns = b->columns,
        .inverse_columns = 1.0f / (float)b->columns,
        .dy = b->dy.data,
        .s = b->s.data,
        .dsum = b->dsum.data,
        .weight = b->weight,
        .rstd = b->rstd,
        .dx = b->dx.data,
        .partials = b->dweight ? b->partials : NULL,
        .dy_stride = b->dy.stride,
        .s_stride = b->s.stride,
        .dsum_stride = b->dsum.stride,
        .dx_stride = b->dx.stride,
        .weight_offset = b->weight_offset,
        .round_normalized = b->round_normalized,
        .float_weight = b->weight_dtype == KM_FLOAT32,
        .aligned = aligned,
        .row_threads = shapes[shape].row_threads,
    };
    km_launch how = { .grid = { 0, 1, 1 },
                      .block = { (unsigned)shapes[shape].block, 1, 1 },
                      .programmatic = true };
    void *arguments[] = { &a };

    if (!d)
        return KM_FAILED;
    how.grid[0] = (unsigned)backward_blocks(d, b->rows, shape);
    if (km_launch_kernel(c, &rmsnorm_backward_image,
                         &norm_backward[dtype_index(b->dtype)][aligned ? shape : ANY], &how,
                         arguments) < 0)
        return KM_FAILED;
    return b->dweight ? add_parts(c, b) : 0;
}
