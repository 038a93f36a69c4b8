/* Chooses the kernel and the launch shape, and launches.
 *
 * How many threads share a row, and in what order they add, depends on the number of 16-byte
 * vectors in it alone, never on the number of rows, so that a row's bits do not either. What
 * depends on the number of rows (rows a block, prefetches, stores that leave the caches first)
 * changes no bit. */
#include "../layernorm.h"

#include <kernmill/launch.h>

#include "layernorm_args.h"

KM_IMAGE(layernorm)
KM_IMAGE(layernorm_long)
KM_IMAGE(layernorm_backward)

enum {
    HELD = 8192, /* vectors of a row that a block's registers can hold */
    MIXED = 2048 /* the same of a row that has weights of another dtype */
};

/* ---- forward: which kernel ---- */

enum { SHAPES = 10, SUM_SHAPES = 6 /* that have a kernel for x + residual */ };

/* Bytes of x from which on, and up to which, something pays. */
typedef struct {
    int64_t from, below;
} range;

#define MIB(n) ((int64_t)(n) << 20)
#define NEVER  { 0, 0 }

/* The widest row that a shape holds in registers, in vectors; and thresholds that are
 * kernels/rmsnorm's, since the rows are moved as there. */
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
    { 1536, 768, 1, 768, 0, { MIB(8), MIB(64) }, NEVER },
    { 2048, 1024, 1, 1024, 0, { MIB(8), MIB(64) }, NEVER },
    { 4096, 512, 1, 512, 0, { MIB(8), MIB(64) }, NEVER },
    { HELD, 1024, 1, 1024, 0, { MIB(8), MIB(64) }, NEVER },
};

/* Rows beyond what stays in L2 are asked for before the predecessor has ended: it is not writing
 * them. */
static const range prefetched = { MIB(32), INT64_MAX };

/* The longest rows are streamed when there are more than so many. */
enum { STREAMED_ROWS = 32 };

static bool in_range(int64_t bytes, range r)
{
    return bytes >= r.from && bytes < r.below;
}

#define SUM_ROW(prefix)                                                                            \
    { KM_FUNCTION(prefix "16x1"),  KM_FUNCTION(prefix "32x2"),  KM_FUNCTION(prefix "64x2"),        \
      KM_FUNCTION(prefix "128x2"), KM_FUNCTION(prefix "256x2"), KM_FUNCTION(prefix "512x2") }
#define NORM_ROW(prefix)                                                                           \
    { KM_FUNCTION(prefix "16x1"),  KM_FUNCTION(prefix "32x2"),   KM_FUNCTION(prefix "64x2"),       \
      KM_FUNCTION(prefix "128x2"), KM_FUNCTION(prefix "256x2"),  KM_FUNCTION(prefix "512x2"),      \
      KM_FUNCTION(prefix "768x2"), KM_FUNCTION(prefix "1024x2"), KM_FUNCTION(prefix "512x8"),      \
      KM_FUNCTION(prefix "1024x8") }
/* vectors, and elements; these kernels read a row again, and take the residual, too */
#define AGAIN_ROW(prefix) { KM_FUNCTION(prefix "again"), KM_FUNCTION(prefix "any") }
#define LONG_ROW(prefix)  { KM_FUNCTION(prefix "long"), KM_FUNCTION(prefix "long_any") }

static km_function norm[KM_FLOATS][SHAPES] = KM_EACH_FLOAT(NORM_ROW, "layer_norm_");
static km_function add_norm[KM_FLOATS][SUM_SHAPES] = KM_EACH_FLOAT(SUM_ROW, "add_layer_norm_");
static km_function again[KM_FLOATS][2] = KM_EACH_FLOAT(AGAIN_ROW, "layer_norm_");
static km_function long_norm[KM_FLOATS][2] = KM_EACH_FLOAT(LONG_ROW, "layer_norm_");

static bool forward_aligned(const layer_norm_forward *f)
{
    return km_rows_aligned(NULL, f->columns, f->dtype) &&
           km_rows_aligned(f->x.data, f->x.stride, f->dtype) &&
           km_rows_aligned(f->residual.data, f->residual.stride, f->dtype) &&
           km_rows_aligned(f->y.data, f->y.stride, f->dtype) &&
           km_rows_aligned(f->sum.data, f->sum.stride, f->dtype) &&
           (uintptr_t)f->weight % 16 == 0 && (uintptr_t)f->bias % 16 == 0;
}

/* What is launched, for a row that registers hold; fills what depends on the shape. */
static km_function *choose_held(const layer_norm_forward *f, int64_t vectors, int64_t bytes,
                                layer_norm_forward_args *a, int64_t *blocks, int64_t *threads)
{
    bool mixed = (f->weight || f->bias) && f->weight_dtype != f->dtype;
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
    *blocks = km_divide_up(f->rows, rows);
    if (!f->residual.data && a->aligned && !(mixed && shapes[i].vectors > MIXED))
        return &norm[dtype][i];
    return a->aligned && i < SUM_SHAPES ? &add_norm[dtype][i] : &again[dtype][!a->aligned];
}

static km_function *choose_long(const layer_norm_forward *f, layer_norm_forward_args *a,
                                int64_t *blocks, int64_t *threads)
{
    *blocks = f->rows;
    *threads = 1024;
    a->prefetch_rows = false; /* a row that is read again is in no hurry */
    a->streaming = f->rows > STREAMED_ROWS;
    return &long_norm[km_float_index(f->dtype)][!a->aligned];
}

int layer_norm_forward_cuda(km_call *c, const layer_norm_forward *f)
{
    int64_t vectors = km_vectors(f->columns, f->dtype);
    int64_t bytes = f->rows * f->columns * (int64_t)km_dtype_bytes(f->dtype), blocks, threads;
    layer_norm_forward_args a = {
        .rows = f->rows,
        .columns = f->columns,
        .inverse_columns = 1.0f / (float)f->columns,
        .x = f->x.data,
        .residual = f->residual.data,
        .weight = f->weight,
        .bias = f->bias,
        .y = f->y.data,
        .sum = f->sum.data,
        .mean = f->mean,
        .rstd = f->rstd,
        .x_stride = f->x.stride,
        .residual_stride = f->residual.stride,
        .y_stride = f->y.stride,
        .sum_stride = f->sum.stride,
        .eps = f->eps,
        .round_sum = f->round_sum,
        .float_weight = f->weight_dtype == KM_FLOAT32,
        .aligned = forward_aligned(f),
    };
    km_launch how = { .programmatic = true };
    km_image *image = vectors <= HELD ? &layernorm_image : &layernorm_long_image;
    void *arguments[] = { &a };
    km_function *function;

    a.prefetch_rows = in_range(bytes, prefetched) && a.aligned && f->x.stride == f->columns;
    function = vectors <= HELD ? choose_held(f, vectors, bytes, &a, &blocks, &threads)
                               : choose_long(f, &a, &blocks, &threads);
    if (km_check_blocks(c, blocks) < 0)
        return KM_FAILED;
    how.grid[0] = (unsigned)blocks;
    how.block[0] = (unsigned)threads;
    how.grid[1] = how.grid[2] = how.block[1] = how.block[2] = 1;
    return km_launch_kernel(c, image, function, &how, arguments);
}

/* ---- backward ---- */

enum { BACKWARD_SHAPES = 5, BACKWARD_ANY = 5, BACKWARDS = 6 };

/* Blocks of a multiprocessor: as many as the registers of its kernels allow at once. */
static const struct {
    int64_t vectors;
    int row_threads, block, resident;
} backward_shapes[BACKWARD_SHAPES] = {
    { 8 * 2, 8, 128, 4 },     { 64 * 2, 64, 256, 2 },       { 256 * 2, 256, 256, 2 },
    { 512 * 2, 512, 512, 1 }, { INT64_MAX, 1024, 1024, 1 },
};

#define BACKWARD_ROW(prefix)                                                                       \
    { KM_FUNCTION(prefix "8x2"),   KM_FUNCTION(prefix "64x2"), KM_FUNCTION(prefix "256x2"),        \
      KM_FUNCTION(prefix "512x2"), KM_FUNCTION(prefix "long"), KM_FUNCTION(prefix "any") }

static km_function norm_backward[KM_FLOATS][BACKWARDS] = KM_EACH_FLOAT(BACKWARD_ROW,
                                                                       "layer_norm_backward_");
static km_function add_up[KM_FLOATS] = { KM_FUNCTION("layer_norm_parts_f32"),
                                         KM_FUNCTION("layer_norm_parts_f16"),
                                         KM_FUNCTION("layer_norm_parts_bf16") };

static int backward_shape(int64_t columns, km_dtype dtype)
{
    int64_t vectors = km_vectors(columns, dtype);
    int i = 0;

    while (vectors > backward_shapes[i].vectors)
        i++;
    return i;
}

/* Rows a block takes at once. */
static int64_t block_rows(int shape)
{
    return backward_shapes[shape].block / backward_shapes[shape].row_threads;
}

/* The backward's grid: enough blocks to fill the device, never more than there are groups of rows.
 */
static int64_t backward_blocks(const km_device *d, int64_t rows, int shape)
{
    int64_t groups = (rows + block_rows(shape) - 1) / block_rows(shape);
    int64_t full = (int64_t)d->sm_count * backward_shapes[shape].resident;

    return groups < full ? groups : full;
}

int64_t layer_norm_parts_cuda(km_call *c, int64_t rows, int64_t columns, km_dtype dtype)
{
    const km_device *d = km_call_device(c);
    int shape = backward_shape(columns, dtype);

    return d ? backward_blocks(d, rows, shape) * block_rows(shape) : KM_FAILED;
}

static bool backward_aligned(const layer_norm_backward *b)
{
    return km_rows_aligned(NULL, b->columns, b->dtype) &&
           km_rows_aligned(b->dy.data, b->dy.stride, b->dtype) &&
           km_rows_aligned(b->s.data, b->s.stride, b->dtype) &&
           km_rows_aligned(b->dsum.data, b->dsum.stride, b->dtype) &&
           km_rows_aligned(b->dx.data, b->dx.stride, b->dtype) && (uintptr_t)b->weight % 16 == 0;
}

/* dweight and dbias, what is wanted of them, from their partial sums. */
static int add_parts(km_call *c, const layer_norm_backward *b)
{
    layer_norm_parts_args a = { .columns = b->columns, .count = (int)b->parts };
    int64_t blocks = (b->columns + 31) / 32;
    unsigned wanted = 0;
    km_launch how = { .block = { 1024, 1, 1 }, .programmatic = true };
    void *arguments[] = { &a };

    if (b->dweight) {
        a.parts[wanted] = b->dweight_parts;
        a.out[wanted++] = b->dweight;
    }
    if (b->dbias) {
        a.parts[wanted] = b->dbias_parts;
        a.out[wanted++] = b->dbias;
    }
    if (wanted == 0)
        return 0;
    if (km_check_blocks(c, blocks) < 0)
        return KM_FAILED;
    how.grid[0] = (unsigned)blocks;
    how.grid[1] = wanted;
    how.grid[2] = 1;
    return km_launch_kernel(c, &layernorm_backward_image, &add_up[km_float_index(b->weight_dtype)],
                            &how, arguments);
}

int layer_norm_backward_cuda(km_call *c, const layer_norm_backward *b)
{
    const km_device *d = km_call_device(c);
    int shape = backward_shape(b->columns, b->dtype), aligned = backward_aligned(b);
    layer_norm_backward_args a = {
        .rows = b->rows,
        .columns = b->columns,
        .inverse_columns = 1.0f / (float)b->columns,
        .dy = b->dy.data,
        .s = b->s.data,
        .dsum = b->dsum.data,
        .weight = b->weight,
        .mean = b->mean,
        .rstd = b->rstd,
        .dx = b->dx.data,
        .dweight_parts = b->dweight ? b->dweight_parts : NULL,
        .dbias_parts = b->dbias ? b->dbias_parts : NULL,
        .dy_stride = b->dy.stride,
        .s_stride = b->s.stride,
        .dsum_stride = b->dsum.stride,
        .dx_stride = b->dx.stride,
        .float_weight = b->weight_dtype == KM_FLOAT32,
        .row_threads = backward_shapes[shape].row_threads,
    };
    km_launch how = { .grid = { 0, 1, 1 },
                      .block = { (unsigned)backward_shapes[shape].block, 1, 1 },
                      .programmatic = true };
    void *arguments[] = { &a };

    if (!d)
        return KM_FAILED;
    how.grid[0] = (unsigned)backward_blocks(d, b->rows, shape);
    if (km_launch_kernel(c, &layernorm_backward_image,
                         &norm_backward[km_float_index(b->dtype)][aligned ? shape : BACKWARD_ANY],
                         &how, arguments) < 0)
        return KM_FAILED;
    return add_parts(c, b);
}
