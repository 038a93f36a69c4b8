/* LayerNorm backward: dx row by row, dweight and dbias as one partial sum each for each group of
 * row threads.
 *
 * Bytes:  3*H*sizeof(x) a row (dy and s read, dx written), 4*H*sizeof(x) with dsum; partial sums
 *         are 2*parts*H*4, written once and read once, mostly in L2.
 *
 * Bound:  memory for thousands of rows.
 *
 * Bits:   dx of a row depends on the row, its length and the dtype. dweight and dbias: a group adds
 *         its rows in their order, and the groups are added in theirs; how many groups there are
 *         depends on rows, columns and the number of multiprocessors alone (layer_norm_parts_cuda).
 *
 * Why:    a persistent grid keeps both sums in registers, so the large sums cost one small second
 *         kernel. Both means of a row are found behind one barrier. The _long and _any kernels keep
 *         the partial sums in memory, private to their group.
 *
 * Entry points: layer_norm_backward_<dtype>_<threads>x<vectors>, ..._long, ..._any,
 *         layer_norm_parts_<weight>.
 */
#include <kernmill/row.cuh>
#include <kernmill/vec.cuh>

#include "layernorm_args.h"

/* As sum_over_row of each, in the same order, at the price of one barrier; `shared` has two floats
 * for each warp. */
__device__ __forceinline__ void sums_over_row(float (&v)[2], int threads, float2 *shared)
{
    const int width = threads < 32 ? threads : 32;

    v[0] = sum_over_lanes(v[0], width);
    v[1] = sum_over_lanes(v[1], width);
    if (threads > 32) {
        const int warps = threads / 32, warp = threadIdx.x / 32, first = warp / warps * warps;
        if (threadIdx.x % 32 == 0)
            shared[warp] = make_float2(v[0], v[1]);
        __syncthreads();
        v[0] = v[1] = 0;
#pragma unroll
        for (int i = 0; i < warps; i++) {
            const float2 other = shared[first + i];
            v[0] += other.x;
            v[1] += other.y;
        }
    }
}

/* What the forward kept of a row. */
struct kept {
    float mean, rstd;
};

__device__ __forceinline__ kept load_kept(const layer_norm_backward_args &a, long long row)
{
    if (row >= a.rows)
        return { 0, 0 };
    return { load_one(a.mean + row), load_one(a.rstd + row) };
}

/* One vector of a row: g = dy * weight, n = (s - mean) * rstd. */
template <class T, int N>
__device__ __forceinline__ void load_pair(float (&dy)[N], float (&n)[N], float (&g)[N],
                                          const layer_norm_backward_args &a, long long row,
                                          long long at, const kept &k)
{
    load(dy, (const T *)a.dy + row * a.dy_stride + at);
    load(n, (const T *)a.s + row * a.s_stride + at);
    if (a.weight)
        load_weight<T>(g, a.weight, a.float_weight, at);
#pragma unroll
    for (int i = 0; i < N; i++) {
        g[i] = a.weight ? __fmul_rn(dy[i], g[i]) : dy[i];
        n[i] = __fmul_rn(__fsub_rn(n[i], k.mean), k.rstd);
    }
}

/* means: of g, and of g * n. */
template <class T, int N>
__device__ __forceinline__ void finish(const float (&g)[N], const float (&n)[N],
                                       const layer_norm_backward_args &a, long long row,
                                       long long at, const kept &k, const float (&means)[2])
{
    float dx[N], d[N];

    if (a.dsum)
        load(d, (const T *)a.dsum + row * a.dsum_stride + at);
#pragma unroll
    for (int i = 0; i < N; i++) {
        dx[i] = __fmul_rn(__fmaf_rn(-n[i], means[1], __fsub_rn(g[i], means[0])), k.rstd);
        if (a.dsum)
            dx[i] = __fadd_rn(dx[i], d[i]);
    }
    store((T *)a.dx + row * a.dx_stride + at, dx);
}

template <int N>
__device__ __forceinline__ void accumulate(float (&dw)[N], float (&db)[N], const float (&dy)[N],
                                           const float (&n)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        dw[i] = __fmaf_rn(dy[i], n[i], dw[i]);
        db[i] = __fadd_rn(db[i], dy[i]);
    }
}

template <int N>
__device__ __forceinline__ void add_products(float (&total)[2], const float (&g)[N],
                                             const float (&n)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        total[0] = __fadd_rn(total[0], g[i]);
        total[1] = __fmaf_rn(g[i], n[i], total[1]);
    }
}

/* The row's sums become its means. */
__device__ __forceinline__ void means_of(float (&total)[2], const layer_norm_backward_args &a,
                                         int row_threads, float2 *shared)
{
    sums_over_row(total, row_threads, shared);
    total[0] = __fmul_rn(total[0], a.inverse_columns);
    total[1] = __fmul_rn(total[1], a.inverse_columns);
}

template <class T, int ROW_THREADS, int VECTORS>
__device__ __forceinline__ void backward(const layer_norm_backward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ float2 shared[32];
    const int groups = blockDim.x / ROW_THREADS, lane = threadIdx.x % ROW_THREADS;
    const long long part = (long long)blockIdx.x * groups + threadIdx.x / ROW_THREADS;
    const long long parts = (long long)gridDim.x * groups;
    float dw[VECTORS][N] = {}, db[VECTORS][N] = {};

    wait_for_predecessor();
    /* all groups of a block make the same number of turns, because the reduction has a barrier */
    for (long long first = 0; first < a.rows; first += parts) {
        const long long row = first + part, columns = row < a.rows ? a.columns : 0;
        const kept k = load_kept(a, row);
        float g[VECTORS][N], n[VECTORS][N], total[2] = { 0, 0 };
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            const long long at = (long long)(lane + v * ROW_THREADS) * N;
            float dy[N];
            if (at >= columns)
                continue;
            load_pair<T>(dy, n[v], g[v], a, row, at, k);
            accumulate(dw[v], db[v], dy, n[v]);
            add_products(total, g[v], n[v]);
        }
        means_of(total, a, ROW_THREADS, shared);
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            const long long at = (long long)(lane + v * ROW_THREADS) * N;
            if (a.dx && at < columns)
                finish<T>(g[v], n[v], a, row, at, k, total);
        }
        if constexpr (ROW_THREADS > 32)
            __syncthreads(); /* shared is used again */
    }
    let_successor_start();
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const long long at = (long long)(lane + v * ROW_THREADS) * N;
        if (a.dweight_parts && at < a.columns)
            store(a.dweight_parts + part * a.columns + at, dw[v]);
        if (a.dbias_parts && at < a.columns)
            store(a.dbias_parts + part * a.columns + at, db[v]);
    }
}

/* Adds a row's terms to the partial sums in memory; the first row of a part finds none there, and a
 * part without rows still has its sums, zero. */
template <int C>
__device__ __forceinline__ void add_to_parts(const layer_norm_backward_args &a, long long at,
                                             bool none, bool inside, const float (&dy)[C],
                                             const float (&n)[C])
{
    float dw[C] = {}, db[C] = {};

    if (a.dweight_parts && !none)
        load(dw, a.dweight_parts + at);
    if (a.dbias_parts && !none)
        load(db, a.dbias_parts + at);
    if (inside)
        accumulate(dw, db, dy, n);
    if (a.dweight_parts)
        store(a.dweight_parts + at, dw);
    if (a.dbias_parts)
        store(a.dbias_parts + at, db);
}

/* Any row: read twice, C elements at a time, by the threads and in the order of the shape above
 * that has a.row_threads. */
template <class T, int C>
__device__ __forceinline__ void backward_twice(const layer_norm_backward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ float2 shared[32];
    const int groups = blockDim.x / a.row_threads, lane = threadIdx.x % a.row_threads;
    const long long part = (long long)blockIdx.x * groups + threadIdx.x / a.row_threads;
    const long long parts = (long long)gridDim.x * groups, step = (long long)a.row_threads * N;

    wait_for_predecessor();
    for (long long first = 0; first < a.rows; first += parts) {
        const long long row = first + part;
        const bool inside = row < a.rows;
        const kept k = load_kept(a, row);
        float dy[C], n[C], g[C], total[2] = { 0, 0 };
        for (long long vector = lane * N; inside && vector < a.columns; vector += step)
            for (long long at = vector; at < vector + N && at < a.columns; at += C) {
                load_pair<T>(dy, n, g, a, row, at, k);
                add_products(total, g, n);
            }
        means_of(total, a, a.row_threads, shared);
        for (long long vector = lane * N; vector < a.columns; vector += step)
            for (long long at = vector; at < vector + N && at < a.columns; at += C) {
                if (inside)
                    load_pair<T>(dy, n, g, a, row, at, k);
                add_to_parts(a, part * a.columns + at, first == 0, inside, dy, n);
                if (a.dx && inside)
                    finish<T>(g, n, a, row, at, k, total);
            }
        __syncthreads(); /* shared is used again */
    }
    let_successor_start();
}

#define BACKWARD(dtype, T, threads, vectors, block)                                                \
    extern "C" __global__ void __launch_bounds__(block)                                            \
        layer_norm_backward_##dtype##_##threads##x##vectors(layer_norm_backward_args a)            \
    {                                                                                              \
        backward<T, threads, vectors>(a);                                                          \
    }

#define BACKWARD_TWICE(dtype, T, name, elements)                                                   \
    extern "C" __global__ void __launch_bounds__(1024)                                             \
        layer_norm_backward_##dtype##_##name(layer_norm_backward_args a)                           \
    {                                                                                              \
        backward_twice<T, elements>(a);                                                            \
    }

#define BACKWARD_SHAPES(dtype, T)                                                                  \
    BACKWARD(dtype, T, 8, 2, 128)                                                                  \
    BACKWARD(dtype, T, 64, 2, 256)                                                                 \
    BACKWARD(dtype, T, 256, 2, 256)                                                                \
    BACKWARD(dtype, T, 512, 2, 512)                                                                \
    BACKWARD_TWICE(dtype, T, long, lanes<T>::value)                                                \
    BACKWARD_TWICE(dtype, T, any, 1)

BACKWARD_SHAPES(f32, float)
BACKWARD_SHAPES(f16, half_t)
BACKWARD_SHAPES(bf16, bfloat_t)

constexpr int ADDERS = 32; /* warps that share the parts of 32 columns */
constexpr int AHEAD = 8;   /* loads of a thread under way at once */

/* A gradient from its partial sums: 32 columns a block, each warp adds a run of the parts, and the
 * sums of the warps are added in order. */
template <class W> __device__ __forceinline__ void add_parts(const layer_norm_parts_args &a)
{
    __shared__ float sums[ADDERS][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int each = (a.count + ADDERS - 1) / ADDERS, from = warp * each;
    const int to = from + each < a.count ? from + each : a.count;
    const long long column = (long long)blockIdx.x * 32 + lane;
    const bool inside = column < a.columns;
    const float *parts = (blockIdx.y ? a.parts[1] : a.parts[0]) + column;
    float total = 0;

    wait_for_predecessor();
    for (int part = from; part < to; part += AHEAD) {
        float v[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            v[i] = inside && part + i < to ? load_one(parts + (part + i) * a.columns) : 0.0f;
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            total = __fadd_rn(total, v[i]);
    }
    let_successor_start();
    sums[warp][lane] = total;
    __syncthreads();
    if (warp || !inside)
        return;
    total = 0;
#pragma unroll
    for (int i = 0; i < ADDERS; i++)
        total = __fadd_rn(total, sums[i][lane]);
    from_float(total, ((W *)(blockIdx.y ? a.out[1] : a.out[0]))[column]);
}

#define PARTS(weight, W)                                                                           \
    extern "C" __global__ void __launch_bounds__(32 * ADDERS)                                      \
        layer_norm_parts_##weight(layer_norm_parts_args a)                                         \
    {                                                                                              \
        add_parts<W>(a);                                                                           \
    }

PARTS(f32, float)
PARTS(f16, half_t)
PARTS(bf16, bfloat_t)
