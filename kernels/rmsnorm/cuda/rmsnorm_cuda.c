/* The forward: chooses the kernel and the launch shape, and launches.
 *
 * How many threads share a row, and in what order they add, depends on the number of 16-byte
 * vectors in it alone, never on the number of rows, so that a row's bits do not either. What
 * depends on the number of rows (rows a block, prefetches, stores that leave the caches first)
 * changes no bit. */
#include "../rmsnorm.h"

#include <kernmill/launch.h>

#include "rmsnorm_args.h"

KM_IMAGE(rmsnorm)
KM_IMAGE(rmsnorm_long)

enum { GROUP = 1024 /* vectors of a row that are added as one, in long rows */ };

/* ---- forward: which kernel ---- */

enum { SHAPES = 6 };
enum { BLOCK_2, BLOCK_4, BLOCK_8, LONG, LONG_ANY, LONGS };

/* Bytes of x from which on, and up to which, something pays. */
typedef struct {
    int64_t from, below;
} range;

#define MIB(n) ((int64_t)(n) << 20)
#define NEVER  { 0, 0 }

/* The widest row that a shape holds in registers, in vectors; and what was measured on an H100,
 * whose L2 has 50 MB, alone and behind a kernel that writes x. */
static const struct {
    int vectors, row_threads;
    int rows;            /* that a group of row_threads takes at once */
    int block;           /* threads of a block, for many rows */
    int64_t few;         /* up to so many rows a block is one group */
    range streaming;     /* stores that leave the caches first */
    range trigger_first; /* the successor may start at once */
} shapes[SHAPES] = {
    { 16, 16, 2, 128, 0, { MIB(16), INT64_MAX }, NEVER },
    { 64, 32, 1, 128, 2048, { MIB(16), INT64_MAX }, NEVER },
    { 128, 64, 1, 256, 8192, { MIB(16), MIB(64) }, NEVER },
    { 256, 128, 1, 128, 0, { MIB(8), MIB(64) }, { MIB(4), MIB(32) } },
    { 512, 256, 1, 256, 0, { MIB(8), MIB(64) }, { MIB(4), MIB(32) } },
    { 1024, 512, 1, 512, 0, { MIB(8), MIB(64) }, { MIB(4), MIB(32) } },
};

/* Rows are asked for before the predecessor has ended where they are few, and beyond what stays in
 * L2: it is not writing those. In between it may be, and that costs up to a sixth. */
static const range prefetched[] = { { 0, MIB(1) + 1 }, { MIB(32), INT64_MAX } };

/* Rows of more than a group are streamed when there are more than so many. */
enum { STREAMED_ROWS = 32 };

static bool in_range(int64_t bytes, range r)
{
    return bytes >= r.from && bytes < r.below;
}

#define SHORT_ROW(prefix)                                                                          \
    { KM_FUNCTION(prefix "16x1"),  KM_FUNCTION(prefix "32x2"),  KM_FUNCTION(prefix "64x2"),        \
      KM_FUNCTION(prefix "128x2"), KM_FUNCTION(prefix "256x2"), KM_FUNCTION(prefix "512x2") }
#define LONG_ROW(prefix)                                                                           \
    { KM_FUNCTION(prefix "1024x2"), KM_FUNCTION(prefix "512x8"), KM_FUNCTION(prefix "1024x8"),     \
      KM_FUNCTION(prefix "long"), KM_FUNCTION(prefix "long_any") }

static km_function short_norm[KM_FLOATS][SHAPES] = KM_EACH_FLOAT(SHORT_ROW, "rms_norm_");
static km_function add_norm[KM_FLOATS][SHAPES] = KM_EACH_FLOAT(SHORT_ROW, "add_rms_norm_");
/* the kernels that read a row twice take the residual, too */
static km_function any_norm[KM_FLOATS] = { KM_FUNCTION("rms_norm_f32_any"),
                                           KM_FUNCTION("rms_norm_f16_any"),
                                           KM_FUNCTION("rms_norm_bf16_any") };
static km_function long_norm[KM_FLOATS][LONGS] = KM_EACH_FLOAT(LONG_ROW, "rms_norm_");

static bool forward_aligned(const rms_norm_forward *f)
{
    return km_rows_aligned(NULL, f->columns, f->dtype) &&
           km_rows_aligned(f->x.data, f->x.stride, f->dtype) &&
           km_rows_aligned(f->residual.data, f->residual.stride, f->dtype) &&
           km_rows_aligned(f->y.data, f->y.stride, f->dtype) &&
           km_rows_aligned(f->sum.data, f->sum.stride, f->dtype) && (uintptr_t)f->weight % 16 == 0;
}

/* What is launched, for a row of at most a group; fills what depends on the shape. */
static km_function *choose_short(const rms_norm_forward *f, int64_t vectors, int64_t bytes,
                                 rms_norm_forward_args *a, int64_t *blocks, int64_t *threads)
{
    int i = 0, dtype = km_float_index(f->dtype);
    int64_t rows;

    while (vectors > shapes[i].vectors)
        i++;
    *threads = f->rows <= shapes[i].few ? shapes[i].row_threads : shapes[i].block;
    rows = *threads / shapes[i].row_threads *
           (a->aligned && !f->residual.data ? shapes[i].rows : 1);
    a->row_threads = shapes[i].row_threads;
    a->streaming = in_range(bytes, shapes[i].streaming);
    a->trigger_first = in_range(bytes, shapes[i].trigger_first);
    *blocks = (f->rows + rows - 1) / rows;
    if (!a->aligned)
        return &any_norm[dtype];
    return f->residual.data ? &add_norm[dtype][i] : &short_norm[dtype][i];
}

static km_function *choose_long(const rms_norm_forward *f, int64_t vectors,
                                rms_norm_forward_args *a, int64_t *blocks, int64_t *threads)
{
    int kind = vectors <= 2 * GROUP ? BLOCK_2 : vectors <= 4 * GROUP ? BLOCK_4 : BLOCK_8;

    if (vectors > 8 * GROUP)
        kind = LONG;

    if (!a->aligned || f->residual.data)
        kind = a->aligned ? LONG : LONG_ANY;
    *blocks = f->rows;
    *threads = kind == BLOCK_4 ? GROUP / 2 : GROUP;
    a->prefetch_rows &= kind < LONG; /* a row that is read twice is in no hurry */
    a->streaming = f->rows > STREAMED_ROWS;
    return &long_norm[km_float_index(f->dtype)][kind];
}

int rms_norm_forward_cuda(km_call *c, const rms_norm_forward *f)
{
    int64_t vectors = km_vectors(f->columns, f->dtype);
    int64_t bytes = f->rows * f->columns * (int64_t)km_dtype_bytes(f->dtype), blocks, threads;
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
        .aligned = forward_aligned(f),
    };
    km_launch how = { .programmatic = true };
    km_image *image = vectors <= GROUP ? &rmsnorm_image : &rmsnorm_long_image;
    void *arguments[] = { &a };
    km_function *function;

    a.prefetch_rows = (in_range(bytes, prefetched[0]) || in_range(bytes, prefetched[1])) &&
                      a.aligned && f->x.stride == f->columns;
    function = vectors <= GROUP ? choose_short(f, vectors, bytes, &a, &blocks, &threads)
                                : choose_long(f, vectors, &a, &blocks, &threads);
    if (km_check_blocks(c, blocks) < 0)
        return KM_FAILED;
    how.grid[0] = (unsigned)blocks;
    how.block[0] = (unsigned)threads;
    how.grid[1] = how.grid[2] = how.block[1] = how.block[2] = 1;
    return km_launch_kernel(c, image, function, &how, arguments);
}
