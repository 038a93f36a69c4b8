/* Chooses the kernel and the launch shape, and launches.
 *
 * Which lanes share a normalised head depends on D, R and the dtype alone, so that a head's bits do
 * not depend on anything else. All other choices (vectors or elements, heads and positions of a
 * block, stores that leave the caches first) change no bit. */
#include "../rotary.h"

#include <kernmill/launch.h>

#include "rotary_args.h"

KM_IMAGE(rotary)
KM_IMAGE(rotary_norm)

enum { FORMS = 4 };
enum {
    BLOCK = 320,      /* threads of a block, at most: the 40 heads of 128 of one position */
    NORM_BLOCK = 160, /* with the norm: more registers, of which smaller blocks waste fewer */
    FEW = 128,        /* threads of a block when there is not one for each multiprocessor */
    DEPTH_MAX = 64,   /* blockDim.z */
    GRID_MAX = 65535  /* gridDim.y and z */
};

/* Results that do not stay in the L2 of any chip we know leave it first. */
static const int64_t streaming_bytes = (int64_t)128 << 20;

/* A kernel for halves and one for pairs, of whole aligned vectors and of anything. */
#define KERNELS(prefix, dtype)                                                                     \
    { KM_FUNCTION(prefix "halves_" dtype), KM_FUNCTION(prefix "halves_" dtype "_any"),             \
      KM_FUNCTION(prefix "pairs_" dtype), KM_FUNCTION(prefix "pairs_" dtype "_any") }
#define EACH_FLOAT(prefix)                                                                         \
    { KERNELS(prefix, "f32"), KERNELS(prefix, "f16"), KERNELS(prefix, "bf16") }

static km_function plain[KM_FLOATS][FORMS] = EACH_FLOAT("rotary_");
static km_function norm[KM_FLOATS][FORMS] = EACH_FLOAT("rotary_norm_");

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- fewer dimensions ---- */

/* Strides of everything that has batches and positions; returns how many. */
static size_t all_strides(rotary_call *r, int64_t *all[6])
{
    size_t count = 0;

    all[count++] = r->cos.strides;
    all[count++] = r->sin.strides;
    for (int i = 0; i < 2; i++)
        if (r->x[i].heads) {
            all[count++] = r->x[i].from_strides;
            all[count++] = r->x[i].to_strides;
        }
    return count;
}

/* Makes one long batch of several where memory allows it: where stepping through a batch's
 * positions and on into the next is one walk. Strides of what is there once become 0. */
static void join_batches(rotary_call *r)
{
    int64_t *all[6];
    size_t count = all_strides(r, all);
    bool joined = true;

    if (r->positions) /* one batch, and the tables' rows are found by value */
        return;
    for (size_t i = 0; i < count && r->length > 1 && r->batch > 1; i++)
        joined &= all[i][ROTARY_BATCH] == r->length * all[i][ROTARY_POSITION];
    for (size_t i = 0; i < count && joined; i++) {
        if (r->length == 1)
            all[i][ROTARY_POSITION] = r->batch > 1 ? all[i][ROTARY_BATCH] : 0;
        all[i][ROTARY_BATCH] = 0;
    }
    if (joined) {
        r->length *= r->batch;
        r->batch = 1;
    }
}

/* ---- alignment ---- */

/* Whether 16 bytes divide the address and `count` strides of elements of `bytes`. */
static bool is_aligned(const void *data, const int64_t *strides, int count, int64_t bytes)
{
    for (int i = 0; i < count; i++)
        if (strides[i] * bytes % 16)
            return false;
    return (uintptr_t)data % 16 == 0;
}

static bool heads_aligned(const rotary_call *r, const rotary_heads *x)
{
    int64_t bytes = (int64_t)km_dtype_bytes(r->dtype);

    if (!x->heads)
        return true;
    if (!r->interleaved && ((uintptr_t)x->from_second % 16 || (uintptr_t)x->to_second % 16))
        return false;
    return is_aligned(x->from, x->from_strides, ROTARY_STRIDES, bytes) &&
           is_aligned(x->to, x->to_strides, ROTARY_STRIDES, bytes) &&
           (uintptr_t)x->weight % 16 == 0;
}

/* Whether everything is made of whole aligned vectors; `unit`: elements that pass through in one
 * slot. */
static bool all_vectors(const rotary_call *r, int64_t lanes, int64_t unit)
{
    int64_t bytes = (int64_t)km_dtype_bytes(r->table_dtype);

    return r->half % lanes == 0 && (r->columns - 2 * r->half) % unit == 0 &&
           is_aligned(r->cos.data, r->cos.strides, 2, bytes) &&
           is_aligned(r->sin.data, r->sin.strides, 2, bytes) && heads_aligned(r, &r->x[0]) &&
           heads_aligned(r, &r->x[1]);
}

/* ---- launch ---- */

/* Bytes from one place to another, which may be in another tensor. */
static long long gap_of(const void *first, const void *second)
{
    return (long long)((uintptr_t)second - (uintptr_t)first);
}

static rotary_heads_args heads_args(const rotary_heads *x)
{
    rotary_heads_args a = { .from = x->from,
                            .to = x->to,
                            .from_gap = gap_of(x->from, x->from_second),
                            .to_gap = gap_of(x->to, x->to_second),
                            .weight = x->weight };

    for (int i = 0; i < ROTARY_STRIDES; i++) {
        a.from_strides[i] = x->from_strides[i];
        a.to_strides[i] = x->to_strides[i];
    }
    return a;
}

static rotary_args args_of(const rotary_call *r)
{
    rotary_args a = {
        .q = heads_args(&r->x[0]),
        .k = heads_args(&r->x[1]),
        .q_heads = (int)r->x[0].heads,
        .heads = (int)(r->x[0].heads + r->x[1].heads),
        .cos = r->cos.data,
        .sin = r->sin.data,
        .cos_strides = { r->cos.strides[0], r->cos.strides[1] },
        .sin_strides = { r->sin.strides[0], r->sin.strides[1] },
        .second = r->second,
        .positions = r->positions,
        .table_rows = r->table_rows,
        .batch = r->batch,
        .length = r->length,
        .columns = r->columns,
        .half = r->half,
        .long_positions = r->positions_dtype == KM_INT64,
        .float_table = r->table_dtype == KM_FLOAT32,
        .conj = r->conj,
        .round_products = r->round_products,
        .float_weight = r->x[r->x[0].heads ? 0 : 1].weight_dtype == KM_FLOAT32,
        .round_norm = r->round_norm,
        .inverse_columns = 1.0f / (float)r->columns,
        .eps = r->eps,
        .weight_offset = r->weight_offset,
    };

    return a;
}

/* The fewest positions of so many heads that make a multiple of `unit`, a power of two. */
static int64_t whole_depth(int64_t heads, int64_t unit)
{
    int64_t depth = 1;

    while (heads * depth % unit)
        depth *= 2;
    return depth;
}

/* How many threads share a head, `threads`, is given; this shares out heads (y) and positions (z)
 * over blocks of at most `most` threads. With `whole_warps` a block has no part of a warp. */
static void share_out(const km_device *d, const rotary_args *a, int64_t threads, bool whole_warps,
                      int64_t most, km_launch *how)
{
    int64_t all = a->batch * a->length * a->heads, unit = whole_warps ? 32 / threads : 1;
    int64_t wanted = all / d->sm_count * threads < most ? FEW : most;
    int64_t groups = km_divide_up(a->heads * threads, wanted);
    int64_t heads = km_divide_up(a->heads, groups), depth, step;

    while (heads > 1 && heads * whole_depth(heads, unit) * threads > most)
        heads--;
    step = whole_depth(heads, unit);
    depth = smaller(smaller(wanted / (heads * threads), a->length), DEPTH_MAX);
    depth = km_divide_up(depth < 1 ? 1 : depth, step) * step;
    while (depth > step && heads * depth * threads > most)
        depth -= step;
    how->block[0] = (unsigned)threads;
    how->block[1] = (unsigned)heads;
    how->block[2] = (unsigned)depth;
}

static int set_grid(km_call *c, const rotary_args *a, km_launch *how)
{
    int64_t x = km_divide_up(a->length, how->block[2]), y = km_divide_up(a->heads, how->block[1]);

    if (x > INT32_MAX || y > GRID_MAX)
        return km_error(c, "%lld positions and %d heads; a launch holds %lld and %lld",
                        (long long)a->length, a->heads, (long long)INT32_MAX * how->block[2],
                        (long long)GRID_MAX * how->block[1]);
    how->grid[0] = (unsigned)x;
    how->grid[1] = (unsigned)y;
    how->grid[2] = (unsigned)smaller(a->batch, GRID_MAX);
    return 0;
}

/* How many lanes share a normalised head of so many slots: a power of two, at most a warp. */
static int64_t lanes_of(int64_t slots)
{
    int64_t lanes = 4;

    while (lanes < 32 && lanes < slots)
        lanes *= 2;
    return lanes;
}

/* Slots of a normalised head; the same for vectors and for elements. */
static bool cut_norm(const rotary_call *r, rotary_args *a, int64_t *threads)
{
    int64_t lanes = (int64_t)(16 / km_dtype_bytes(r->dtype));

    a->pair_slots = km_divide_up(r->half, lanes);
    a->slots = a->pair_slots + km_divide_up(r->columns - 2 * r->half, 2 * lanes);
    *threads = lanes_of(a->slots);
    return all_vectors(r, lanes, 2 * lanes) && a->slots <= 32 && a->batch <= GRID_MAX;
}

/* Slots of a head that is only rotated. */
static bool cut_plain(const rotary_call *r, rotary_args *a, int64_t *threads)
{
    int64_t lanes = (int64_t)(16 / km_dtype_bytes(r->dtype)), rest = r->columns - 2 * r->half;
    bool vectors = all_vectors(r, lanes, lanes) && a->batch <= GRID_MAX;

    if (r->x[0].to == r->x[0].from && (!r->x[1].heads || r->x[1].to == r->x[1].from))
        rest = 0; /* in place, it is there */
    a->pair_slots = r->half / (vectors ? lanes : 1);
    a->slots = a->pair_slots + rest / (vectors ? lanes : 1);
    if (vectors && a->slots > BLOCK) {
        vectors = false;
        a->pair_slots = r->half;
        a->slots = a->pair_slots + rest;
    }
    *threads = smaller(a->slots, 128);
    if (vectors)
        *threads = a->slots;
    return vectors;
}

int rotary_cuda(km_call *c, const rotary_call *call)
{
    const km_device *d = km_call_device(c);
    rotary_call r = *call;
    int64_t threads, bytes = (int64_t)km_dtype_bytes(r.dtype);
    km_launch how = { .programmatic = true };
    rotary_args a;
    void *arguments[] = { &a };
    bool vectors;
    int form;

    if (!d)
        return KM_FAILED;
    if (r.x[0].heads + r.x[1].heads > INT32_MAX)
        return km_error(c, "%lld heads; a launch holds %d",
                        (long long)(r.x[0].heads + r.x[1].heads), INT32_MAX);
    join_batches(&r);
    a = args_of(&r);
    vectors = r.normalized ? cut_norm(&r, &a, &threads) : cut_plain(&r, &a, &threads);
    a.streaming = a.batch * a.length * a.heads * a.columns * bytes >= streaming_bytes;
    share_out(d, &a, threads, r.normalized, r.normalized ? NORM_BLOCK : BLOCK, &how);
    if (set_grid(c, &a, &how) < 0)
        return KM_FAILED;
    form = (r.interleaved ? 2 : 0) + (vectors ? 0 : 1);
    return km_launch_kernel(c, r.normalized ? &rotary_norm_image : &rotary_image,
                            &(r.normalized ? norm : plain)[km_float_index(r.dtype)][form], &how,
                            arguments);
}
