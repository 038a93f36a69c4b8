/* RMSNorm backward: dx row by row, dweight as one partial sum for each group of row threads.
 *
 * Bytes:  3*H*sizeof(x) a row (dy and s read, dx written), 4*H*sizeof(x) with dsum; partial sums
 *         are parts*H*4, written once and read once, mostly in L2.
 *
 * Bound:  memory for thousands of rows.
 *
 * Bits:   dx of a row depends on the row, its length and the dtype. dweight: a group adds its rows
 *         in their order, and the groups are added in theirs; how many groups there are depends on
 *         rows, columns and the number of multiprocessors alone (rms_norm_parts_cuda).
 *
 * Why:    a persistent grid keeps dweight in registers, so the large sum costs one small second
 *         kernel. The _long and _any kernels keep the partial sum in memory, private to its group.
 *
 * Entry points: rms_norm_backward_<dtype>_<threads>x<vectors>, ..._long, ..._any,
 *         rms_norm_dweight_<weight>.
 */
#include <kernmill/row.cuh>
#include <kernmill/vec.cuh>

#include "rmsnorm_args.h"

/* One vector of a row: g = dy * (offset + weight), n = s * rstd. */
template <class T, int N>
__device__ __forceinline__ void load_pair(float (&dy)[N], float (&n)[N], float (&g)[N],
                                          const rms_norm_backward_args &a, long long row,
                                          long long at, float rstd)
{
    load(dy, (const T *)a.dy + row * a.dy_stride + at);
    load(n, (const T *)a.s + row * a.s_stride + at);
    if (a.weight)
        load_weight<T>(g, a.weight, a.float_weight, at);
#pragma unroll
    for (int k = 0; k < N; k++) {
        g[k] = a.weight ? __fmul_rn(dy[k], __fadd_rn(g[k], a.weight_offset)) : dy[k];
        n[k] = __fmul_rn(n[k], rstd);
    }
}

template <class T, int N>
__device__ __forceinline__ void finish(const float (&g)[N], const float (&n)[N],
                                       const rms_norm_backward_args &a, long long row, long long at,
                                       float rstd, float mean)
{
    float dx[N], d[N];

    if (a.dsum)
        load(d, (const T *)a.dsum + row * a.dsum_stride + at);
#pragma unroll
    for (int k = 0; k < N; k++) {
        dx[k] = __fmul_rn(__fmaf_rn(-n[k], mean, g[k]), rstd);
        if (a.dsum)
            dx[k] += d[k];
    }
    store((T *)a.dx + row * a.dx_stride + at, dx);
}

template <class T, int N>
__device__ __forceinline__ void accumulate(float (&dw)[N], const float (&dy)[N],
                                           const float (&n)[N], bool round_normalized)
{
    float r[N];

#pragma unroll
    for (int k = 0; k < N; k++)
        r[k] = n[k];
    if (round_normalized)
        round_to<T>(r);
#pragma unroll
    for (int k = 0; k < N; k++)
        dw[k] = __fmaf_rn(dy[k], r[k], dw[k]);
}

template <int N>
__device__ __forceinline__ float dot(const float (&g)[N], const float (&n)[N], float total)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        total = __fmaf_rn(g[k], n[k], total);
    return total;
}

__device__ __forceinline__ float load_rstd(const rms_norm_backward_args &a, long long row)
{
    return row < a.rows ? *(const volatile float *)(a.rstd + row) : 0.0f;
}

template <class T, int ROW_THREADS, int VECTORS>
__device__ __forceinline__ void backward(const rms_norm_backward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ float shared[32];
    const int groups = blockDim.x / ROW_THREADS, lane = threadIdx.x % ROW_THREADS;
    const long long part = (long long)blockIdx.x * groups + threadIdx.x / ROW_THREADS;
    const long long parts = (long long)gridDim.x * groups;
    float dw[VECTORS][N] = {};

    wait_for_predecessor();
    /* all groups of a block make the same number of turns, because the reduction has a barrier */
    for (long long first = 0; first < a.rows; first += parts) {
        const long long row = first + part, columns = row < a.rows ? a.columns : 0;
        const float rstd = load_rstd(a, row);
        float g[VECTORS][N], n[VECTORS][N], total = 0;
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            const long long at = (long long)(lane + v * ROW_THREADS) * N;
            float dy[N];
            if (at >= columns)
                continue;
            load_pair<T>(dy, n[v], g[v], a, row, at, rstd);
            accumulate<T>(dw[v], dy, n[v], a.round_normalized);
            total = dot(g[v], n[v], total);
        }
        const float mean = __fmul_rn(sum_over_row(total, ROW_THREADS, shared), a.inverse_columns);
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            const long long at = (long long)(lane + v * ROW_THREADS) * N;
            if (a.dx && at < columns)
                finish<T>(g[v], n[v], a, row, at, rstd, mean);
        }
        if constexpr (ROW_THREADS > 32)
            __syncthreads(); /* shared is used again */
    }
    let_successor_start();
    if (!a.partials)
        return;
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const long long at = (long long)(lane + v * ROW_THREADS) * N;
        if (at < a.columns)
            store(a.partials + part * a.columns + at, dw[v]);
    }
}

/* Any row: read twice, C elements at a time, by the threads and in the order of the shape above
 * that has a.row_threads. */
template <class T, int C>
__device__ __forceinline__ void backward_twice(const rms_norm_backward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ float shared[32];
    const int groups = blockDim.x / a.row_threads, lane = threadIdx.x % a.row_threads;
    const long long part = (long long)blockIdx.x * groups + threadIdx.x / a.row_threads;
    const long long parts = (long long)gridDim.x * groups, step = (long long)a.row_threads * N;
    float *partial = a.partials ? a.partials + part * a.columns : nullptr;

    wait_for_predecessor();
    /* a part without rows still has its partial sum, zero */
    for (long long first = 0; first < a.rows; first += parts) {
        const long long row = first + part;
        const bool inside = row < a.rows;
        const float rstd = load_rstd(a, row);
        float dy[C], n[C], g[C], total = 0;
        for (long long vector = lane * N; inside && vector < a.columns; vector += step)
            for (long long at = vector; at < vector + N && at < a.columns; at += C) {
                load_pair<T>(dy, n, g, a, row, at, rstd);
                total = dot(g, n, total);
            }
        const float mean = __fmul_rn(sum_over_row(total, a.row_threads, shared), a.inverse_columns);
        for (long long vector = lane * N; vector < a.columns; vector += step)
            for (long long at = vector; at < vector + N && at < a.columns; at += C) {
                float dw[C] = {};
                if (inside)
                    load_pair<T>(dy, n, g, a, row, at, rstd);
                if (partial && first)
                    load(dw, partial + at);
                if (partial && inside)
                    accumulate<T>(dw, dy, n, a.round_normalized);
                if (partial)
                    store(partial + at, dw);
                if (a.dx && inside)
                    finish<T>(g, n, a, row, at, rstd, mean);
            }
        __syncthreads(); /* shared is used again */
    }
    let_successor_start();
}

#define BACKWARD(dtype, T, threads, vectors, block)                                                \
    extern "C" __global__ void __launch_bounds__(block)                                            \
        rms_norm_backward_##dtype##_##threads##x##vectors(rms_norm_backward_args a)                \
    {                                                                                              \
        backward<T, threads, vectors>(a);                                                          \
    }

#define BACKWARD_TWICE(dtype, T, name, elements)                                                   \
    extern "C" __global__ void __launch_bounds__(1024)                                             \
        rms_norm_backward_##dtype##_##name(rms_norm_backward_args a)                               \
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

/* dweight: 32 columns a block, eight warps each add an eighth of the parts, and the eight sums are
 * added in order. */
template <class W> __device__ __forceinline__ void add_parts(const rms_norm_dweight_args &a)
{
    __shared__ float sums[8][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int each = (a.parts + 7) / 8, from = warp * each;
    const int to = from + each < a.parts ? from + each : a.parts;
    const long long column = (long long)blockIdx.x * 32 + lane;
    float total = 0;

    wait_for_predecessor();
    for (int part = from; part < to && column < a.columns; part++)
        total += *(const volatile float *)(a.partials + part * a.columns + column);
    let_successor_start();
    sums[warp][lane] = total;
    __syncthreads();
    if (warp || column >= a.columns)
        return;
    total = 0;
#pragma unroll
    for (int i = 0; i < 8; i++)
        total += sums[i][lane];
    from_float(total, ((W *)a.dweight)[column]);
}

#define DWEIGHT(weight, W)                                                                         \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        rms_norm_dweight_##weight(rms_norm_dweight_args a)                                         \
    {                                                                                              \
        add_parts<W>(a);                                                                           \
    }

DWEIGHT(f32, float)
DWEIGHT(f16, half_t)
DWEIGHT(bf16, bfloat_t)
