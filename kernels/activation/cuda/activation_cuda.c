/* Chooses the kernel and the launch shape, and launches. Nothing chosen here changes a bit. */
#include "../activation.h"

#include <kernmill/launch.h>

#include "activation_args.h"

KM_IMAGE(activation)
KM_IMAGE(activation_backward)

enum { ANY = ACT_KINDS, KERNELS = ACT_KINDS + 1 };

#define EACH_KIND(prefix)                                                                          \
    { KM_FUNCTION(prefix "silu"), KM_FUNCTION(prefix "gelu"), KM_FUNCTION(prefix "gelu_tanh"),     \
      KM_FUNCTION(prefix "quick_gelu"), KM_FUNCTION(prefix "any") }

/* the first of each pair is element-wise, the second has up */
static km_function forward_kernels[2][KM_FLOATS][KERNELS] = {
    KM_EACH_FLOAT(EACH_KIND, "act_"), KM_EACH_FLOAT(EACH_KIND, "act_mul_")
};
static km_function backward_kernels[2][KM_FLOATS][KERNELS] = {
    KM_EACH_FLOAT(EACH_KIND, "act_backward_"), KM_EACH_FLOAT(EACH_KIND, "act_mul_backward_")
};

enum {
    THREADS_MIN = 128,
    THREADS = 256, /* of a block, where nothing speaks against it */
    THREADS_MAX = 448,
    GRID_Y = 65535
};

/* Up to so many vectors, more and smaller blocks reach more multiprocessors. */
#define FEW_VECTORS ((int64_t)64 << 10)
/* Bytes of all inputs up to which, and from which on, a block asks for its own before the
 * predecessor has ended. In between the predecessor may be writing them, and that costs a tenth;
 * what is more does not stay in L2, so that what is read first was written long ago. */
#define FEW_BYTES  ((int64_t)8 << 20)
#define MANY_BYTES ((int64_t)32 << 20)

/* Whether all rows start at a multiple of 16 bytes. NULL does. */
static bool is_aligned(const void *data, int64_t stride, int64_t rows, km_dtype dtype)
{
    return km_rows_aligned(data, rows == 1 ? 0 : stride, dtype);
}

/* Threads that share a row of `units` vectors or elements: a block of them or a part of one. */
static int64_t row_threads(int64_t units, int64_t total)
{
    int64_t best = THREADS, idle = INT64_MAX;

    if (units < THREADS_MIN)
        return units;
    if (total <= FEW_VECTORS)
        return THREADS_MIN;
    for (int64_t t = THREADS_MIN; t <= THREADS_MAX; t += 32) {
        int64_t wasted = (units + t - 1) / t * t - units;
        int64_t off = t < THREADS ? THREADS - t : t - THREADS;
        int64_t best_off = best < THREADS ? THREADS - best : best - THREADS;
        if (wasted < idle || (wasted == idle && off < best_off)) {
            best = t;
            idle = wasted;
        }
    }
    return best;
}

/* Fills the launch for `units` of work in each row: chunks of a row along x, rows along y and z. */
static int shape_launch(km_call *c, int64_t rows, int64_t units, km_launch *how)
{
    int64_t x = row_threads(units, rows * units), y = x < THREADS_MIN ? THREADS / x : 1;
    int64_t chunks = km_divide_up(units, x), groups = km_divide_up(rows, y),
            layers = km_divide_up(groups, GRID_Y);

    if (chunks > INT32_MAX || layers > GRID_Y)
        return km_error(c, "%lld rows of %lld blocks; a launch holds %lld rows of %d",
                        (long long)rows, (long long)chunks, (long long)GRID_Y * GRID_Y, INT32_MAX);
    how->grid[0] = (unsigned)chunks;
    how->grid[1] = (unsigned)km_divide_up(groups, layers);
    how->grid[2] = (unsigned)layers;
    how->block[0] = (unsigned)x;
    how->block[1] = (unsigned)y;
    how->block[2] = 1;
    return 0;
}

/* `streams`: how many tensors are read. */
static int launch(km_call *c, km_image *image, km_function *of_kinds, activation_args *a,
                  km_dtype dtype, bool aligned, int streams)
{
    int64_t bytes = (int64_t)km_dtype_bytes(dtype), lanes = 16 / bytes;
    km_launch how = { .programmatic = true };
    void *arguments[] = { a };

    if (shape_launch(c, a->rows, aligned ? km_divide_up(a->columns, lanes) : a->columns, &how) < 0)
        return KM_FAILED;
    bytes *= a->rows * a->columns * streams;
    a->prefetch = (bytes <= FEW_BYTES || bytes > MANY_BYTES) && how.block[1] == 1;
    a->streaming = 0; /* a matrix product reads y next, from L2 where it fits */
    return km_launch_kernel(c, image, &of_kinds[aligned ? a->kind : ANY], &how, arguments);
}

int act_forward_cuda(km_call *c, const act_forward *f)
{
    activation_args a = {
        .rows = f->rows,
        .columns = f->columns,
        .kind = (int)f->kind,
        .round_act = f->round_act,
        .gate = f->gate.data,
        .up = f->up.data,
        .y = f->y.data,
        .gate_stride = f->gate.stride,
        .up_stride = f->up.stride,
        .y_stride = f->y.stride,
    };
    bool mul = f->up.data != NULL;
    bool aligned = is_aligned(a.gate, a.gate_stride, a.rows, f->dtype) &&
                   is_aligned(a.up, a.up_stride, a.rows, f->dtype) &&
                   is_aligned(a.y, a.y_stride, a.rows, f->dtype);

    return launch(c, &activation_image, forward_kernels[mul][km_float_index(f->dtype)], &a,
                  f->dtype, aligned, mul ? 2 : 1);
}

int act_backward_cuda(km_call *c, const act_backward *b)
{
    activation_args a = {
        .rows = b->rows,
        .columns = b->columns,
        .kind = (int)b->kind,
        .round_act = b->round_act,
        .dy = b->dy.data,
        .gate = b->gate.data,
        .up = b->up.data,
        .dgate = b->dgate.data,
        .dup = b->dup.data,
        .dy_stride = b->dy.stride,
        .gate_stride = b->gate.stride,
        .up_stride = b->up.stride,
        .dgate_stride = b->dgate.stride,
        .dup_stride = b->dup.stride,
    };
    bool mul = b->up.data != NULL;
    bool aligned = is_aligned(a.dy, a.dy_stride, a.rows, b->dtype) &&
                   is_aligned(a.gate, a.gate_stride, a.rows, b->dtype) &&
                   is_aligned(a.up, a.up_stride, a.rows, b->dtype) &&
                   is_aligned(a.dgate, a.dgate_stride, a.rows, b->dtype) &&
                   is_aligned(a.dup, a.dup_stride, a.rows, b->dtype);

    return launch(c, &activation_backward_image, backward_kernels[mul][km_float_index(b->dtype)],
                  &a, b->dtype, aligned, mul ? 3 : 2);
}
