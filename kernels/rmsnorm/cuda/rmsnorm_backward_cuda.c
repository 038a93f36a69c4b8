/* The backward: chooses the kernel and the launch shape, and launches.
 *
 * How many threads share a row, and in what order they add, depends on the number of 16-byte
 * vectors in it and on the chip alone; so does the number of partial sums of dweight, with the
 * number of rows. */
#include "../rmsnorm.h"

#include <kernmill/launch.h>

#include "rmsnorm_args.h"

KM_IMAGE(rmsnorm_backward)
KM_IMAGE(rmsnorm_ring)

enum { NARROW, PLAIN_64, PLAIN_256, PLAIN_512, LONG, ANY, PLAINS };
enum { RING_32, RING_64, RING_256, RING_256_4, RING_512, RINGS };

/* The widest row that a shape takes, in vectors. */
typedef struct {
    int64_t vectors;
    int row_threads, block;
    int blocks; /* on a multiprocessor */
    int kernel; /* of NARROW to LONG, or of the rings */
    int stages; /* of a ring, at most; 0: it is none */
} backward_shape;

/* Before compute capability 9.0. */
static const backward_shape plain_shapes[] = {
    { 16, 16, 128, 6, NARROW, 0 },          { 64 * 2, 64, 256, 4, PLAIN_64, 0 },
    { 256 * 2, 256, 256, 4, PLAIN_256, 0 }, { 512 * 2, 512, 512, 2, PLAIN_512, 0 },
    { INT64_MAX, 1024, 1024, 1, LONG, 0 },
};

/* From 9.0 on: bulk copies into a ring of rows, by one block a multiprocessor. Measured on an H100:
 * more stages cost up to 7 % (the rows that come first come later), fewer 8 %; 512 threads of two
 * groups for 256 cost 6 % at 32768 x 4096. */
static const backward_shape ring_shapes[] = {
    { 16, 16, 128, 6, NARROW, 0 },           { 32 * 2, 32, 256, 1, RING_32, 4 },
    { 64 * 2, 64, 256, 1, RING_64, 4 },      { 256 * 2, 256, 256, 1, RING_256, 4 },
    { 256 * 4, 256, 256, 1, RING_256_4, 3 }, { 512 * 4, 512, 512, 1, RING_512, 2 },
    { INT64_MAX, 1024, 1024, 1, LONG, 0 },
};

/* Bytes of dx from which on stores leave the caches first. */
enum { STREAMED_BYTES = 32 << 20 };

#define PLAIN_ROW(prefix)                                                                          \
    { KM_FUNCTION(prefix "16x1"),  KM_FUNCTION(prefix "64x2"), KM_FUNCTION(prefix "256x2"),        \
      KM_FUNCTION(prefix "512x2"), KM_FUNCTION(prefix "long"), KM_FUNCTION(prefix "any") }
#define RING_ROW(prefix)                                                                           \
    { KM_FUNCTION(prefix "32x2"), KM_FUNCTION(prefix "64x2"), KM_FUNCTION(prefix "256x2"),         \
      KM_FUNCTION(prefix "256x4"), KM_FUNCTION(prefix "512x4") }

static km_function plain_backward[KM_FLOATS][PLAINS] = KM_EACH_FLOAT(PLAIN_ROW,
                                                                     "rms_norm_backward_");
static km_function ring_backward[KM_FLOATS][RINGS] = KM_EACH_FLOAT(RING_ROW, "rms_norm_ring_");
static km_function dweight[KM_FLOATS] = { KM_FUNCTION("rms_norm_dweight_f32"),
                                          KM_FUNCTION("rms_norm_dweight_f16"),
                                          KM_FUNCTION("rms_norm_dweight_bf16") };

static const backward_shape *choose_shape(const km_device *d, int64_t columns, km_dtype dtype)
{
    const backward_shape *s = d->sm >= 90 ? ring_shapes : plain_shapes;

    while (km_vectors(columns, dtype) > s->vectors)
        s++;
    return s;
}

/* Rows a block takes at once. */
static int64_t block_rows(const backward_shape *s)
{
    return s->block / s->row_threads;
}

/* Enough blocks to fill the device, never more than there are groups of rows. */
static int64_t block_count(const km_device *d, const backward_shape *s, int64_t rows)
{
    int64_t groups = (rows + block_rows(s) - 1) / block_rows(s);
    int64_t full = (int64_t)d->sm_count * s->blocks;

    return groups < full ? groups : full;
}

int64_t rms_norm_parts_cuda(km_call *c, int64_t rows, int64_t columns, km_dtype dtype)
{
    const km_device *d = km_call_device(c);
    const backward_shape *s = d ? choose_shape(d, columns, dtype) : NULL;

    return s ? block_count(d, s, rows) * block_rows(s) : KM_FAILED;
}

static bool backward_aligned(const rms_norm_backward *b)
{
    return km_rows_aligned(NULL, b->columns, b->dtype) &&
           km_rows_aligned(b->dy.data, b->dy.stride, b->dtype) &&
           km_rows_aligned(b->s.data, b->s.stride, b->dtype) &&
           km_rows_aligned(b->dsum.data, b->dsum.stride, b->dtype) &&
           km_rows_aligned(b->dx.data, b->dx.stride, b->dtype) && (uintptr_t)b->weight % 16 == 0;
}

/* Shared memory for a row of each group. */
static int64_t stage_bytes(const backward_shape *s, const rms_norm_backward *b)
{
    return b->columns * (int64_t)km_dtype_bytes(b->dtype) * (b->dsum.data ? 3 : 2) * block_rows(s);
}

/* How many rows of each group the block's memory holds, at most what the shape wants. */
static int ring_stages(const km_device *d, const backward_shape *s, const rms_norm_backward *b)
{
    enum { OTHER_BYTES = 4096 }; /* barriers and sums */
    int64_t most = (d->shared_bytes - OTHER_BYTES) / stage_bytes(s, b);

    return most < s->stages ? (int)most : s->stages;
}

/* Enough that no two blocks share a multiprocessor: another one would stay idle. */
static unsigned ring_bytes(const km_device *d, int64_t wanted)
{
    int64_t least = d->shared_bytes / 2 + 1024;

    return (unsigned)(wanted > least ? wanted : least);
}

/* `groups`: of a block, which has added their partial sums. */
static int add_parts(km_call *c, const rms_norm_backward *b, int64_t groups)
{
    rms_norm_dweight_args a = { b->partials, b->dweight, b->columns, groups * b->columns,
                                (int)(b->parts / groups) };
    int64_t blocks = (b->columns + 31) / 32;
    km_launch how = { .grid = { (unsigned)blocks, 1, 1 },
                      .block = { 1024, 1, 1 },
                      .programmatic = true };
    void *arguments[] = { &a };

    if (km_check_blocks(c, blocks) < 0)
        return KM_FAILED;
    return km_launch_kernel(c, &rmsnorm_backward_image, &dweight[km_float_index(b->weight_dtype)],
                            &how, arguments);
}

static int launch(km_call *c, const km_device *d, const rms_norm_backward *b,
                  rms_norm_backward_args *a)
{
    const backward_shape *s = choose_shape(d, b->columns, b->dtype);
    km_launch how = { .grid = { (unsigned)block_count(d, s, b->rows), 1, 1 },
                      .block = { (unsigned)s->block, 1, 1 },
                      .programmatic = true };
    int dtype = km_float_index(b->dtype), kernel = s->kernel;
    void *arguments[] = { a };

    a->row_threads = s->row_threads;
    a->stages = s->stages && a->aligned ? ring_stages(d, s, b) : 0;
    if (a->stages >= 2) {
        how.shared_bytes = ring_bytes(d, a->stages * stage_bytes(s, b));
        return km_launch_kernel(c, &rmsnorm_ring_image, &ring_backward[dtype][kernel], &how,
                                arguments);
    }
    if (!a->aligned || s->stages) /* the same order, by kernels that take any number of threads */
        kernel = a->aligned ? LONG : ANY;
    return km_launch_kernel(c, &rmsnorm_backward_image, &plain_backward[dtype][kernel], &how,
                            arguments);
}

int rms_norm_backward_cuda(km_call *c, const rms_norm_backward *b)
{
    const km_device *d = km_call_device(c);
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
        .aligned = backward_aligned(b),
        .streaming = b->rows * b->columns * (int64_t)km_dtype_bytes(b->dtype) >= STREAMED_BYTES,
    };

    if (!d || launch(c, d, b, &a) < 0)
        return KM_FAILED;
    return b->dweight ? add_parts(c, b, block_rows(choose_shape(d, b->columns, b->dtype))) : 0;
}
