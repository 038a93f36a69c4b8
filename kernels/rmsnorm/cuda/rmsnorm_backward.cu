/* RMSNorm backward: dx row by row, dweight as one partial sum for each group of row threads. From
 * compute capability 9.0 on rmsnorm_ring.cu takes what is aligned, of 17 to 2048 vectors.
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
#include "backward.cuh"

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

    dx_of(dx, g, n, rstd, mean);
    if (a.dsum) {
        load(d, (const T *)a.dsum + row * a.dsum_stride + at);
#pragma unroll
        for (int k = 0; k < N; k++)
            dx[k] += d[k];
    }
    store((T *)a.dx + row * a.dx_stride + at, dx);
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
    fold_groups(a, groups);
}

/* Rows of at most ROW_THREADS vectors: ROWS of a group are under way at once. */
template <class T, int ROW_THREADS, int ROWS>
__device__ __forceinline__ void backward_narrow(const rms_norm_backward_args &a)
{
    constexpr int N = lanes<T>::value;
    const int groups = blockDim.x / ROW_THREADS, lane = threadIdx.x % ROW_THREADS;
    const long long part = (long long)blockIdx.x * groups + threadIdx.x / ROW_THREADS;
    const long long parts = (long long)gridDim.x * groups, at = (long long)lane * N;
    float dw[N] = {}, scale[N] = {};

    wait_for_predecessor();
    if (a.weight && at < a.columns)
        load_weight<T>(scale, a.weight, a.float_weight, at);
#pragma unroll
    for (int k = 0; k < N; k++)
        scale[k] = a.weight ? __fadd_rn(scale[k], a.weight_offset) : 1.0f;
    for (long long first = 0; first < a.rows; first += parts * ROWS) {
        uint4 s[ROWS], d[ROWS];
        float rstd[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const long long row = first + r * parts + part;
            const bool there = row < a.rows && at < a.columns;
            s[r] = there ? load_16((const T *)a.s + row * a.s_stride + at) : make_uint4(0, 0, 0, 0);
            d[r] = there ? load_16((const T *)a.dy + row * a.dy_stride + at)
                         : make_uint4(0, 0, 0, 0);
            rstd[r] = load_rstd(a, row);
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const long long row = first + r * parts + part;
            float dy[N], n[N], g[N];
            unpack_16(n, s[r], T{});
            unpack_16(dy, d[r], T{});
#pragma unroll
            for (int k = 0; k < N; k++) {
                g[k] = __fmul_rn(dy[k], scale[k]);
                n[k] = __fmul_rn(n[k], rstd[r]);
            }
            accumulate<T>(dw, dy, n, a.round_normalized);
            const float mean = __fmul_rn(sum_over_lanes(dot(g, n, 0), ROW_THREADS),
                                         a.inverse_columns);
            if (a.dx && row < a.rows && at < a.columns)
                finish<T>(g, n, a, row, at, rstd[r], mean);
        }
    }
    let_successor_start();
    if (!a.partials)
        return;
    if (at < a.columns)
        store(a.partials + part * a.columns + at, dw);
    fold_groups(a, groups);
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
    if (partial)
        fold_groups(a, groups);
}

#define BACKWARD(dtype, T, threads, vectors, block)                                                \
    extern "C" __global__ void __launch_bounds__(block)                                            \
        rms_norm_backward_##dtype##_##threads##x##vectors(rms_norm_backward_args a)                \
    {                                                                                              \
        backward<T, threads, vectors>(a);                                                          \
    }

#define BACKWARD_NARROW(dtype, T, threads, block)                                                  \
    extern "C" __global__ void __launch_bounds__(block, 768 / block)                               \
        rms_norm_backward_##dtype##_##threads##x1(rms_norm_backward_args a)                        \
    {                                                                                              \
        backward_narrow<T, threads, 2>(a);                                                         \
    }

#define BACKWARD_TWICE(dtype, T, name, elements)                                                   \
    extern "C" __global__ void __launch_bounds__(1024)                                             \
        rms_norm_backward_##dtype##_##name(rms_norm_backward_args a)                               \
    {                                                                                              \
        backward_twice<T, elements>(a);                                                            \
    }

/* Where there are rings these are never launched, and take no room. */
#if __CUDA_ARCH__ >= 900
#define BACKWARD_WITHOUT_RING(dtype, T, threads, vectors, block)                                   \
    extern "C" __global__ void rms_norm_backward_##dtype##_##threads##x##vectors(                  \
        rms_norm_backward_args a)                                                                  \
    {                                                                                              \
        __trap();                                                                                  \
    }
#else
#define BACKWARD_WITHOUT_RING BACKWARD
#endif

#define BACKWARD_SHAPES(dtype, T)                                                                  \
    BACKWARD_NARROW(dtype, T, 16, 128)                                                             \
    BACKWARD_WITHOUT_RING(dtype, T, 64, 2, 256)                                                    \
    BACKWARD_WITHOUT_RING(dtype, T, 256, 2, 256)                                                   \
    BACKWARD_WITHOUT_RING(dtype, T, 512, 2, 512)                                                   \
    BACKWARD_TWICE(dtype, T, long, lanes<T>::value)                                                \
    BACKWARD_TWICE(dtype, T, any, 1)

BACKWARD_SHAPES(f32, float)
BACKWARD_SHAPES(f16, half_t)
BACKWARD_SHAPES(bf16, bfloat_t)

/* dweight: 32 columns a block, 32 warps each add a part of the partial sums, and what they have is
 * added in order. */
template <class W> __device__ __forceinline__ void add_parts(const rms_norm_dweight_args &a)
{
    constexpr int WARPS = 32, UNDER_WAY = 8; /* loads of a thread at once */
    __shared__ float sums[WARPS][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int each = (a.parts + WARPS - 1) / WARPS, from = warp * each;
    const int to = from + each < a.parts ? from + each : a.parts;
    const long long column = (long long)blockIdx.x * 32 + lane;
    float total = 0;

    wait_for_predecessor();
    for (int part = from; part < to && column < a.columns; part += UNDER_WAY) {
        float v[UNDER_WAY];
#pragma unroll
        for (int k = 0; k < UNDER_WAY; k++)
            v[k] = part + k < to ? load_one(a.partials + (part + k) * a.part_stride + column) : 0;
#pragma unroll
        for (int k = 0; k < UNDER_WAY; k++)
            total = part + k < to ? total + v[k] : total;
    }
    let_successor_start();
    sums[warp][lane] = total;
    __syncthreads();
    if (warp || column >= a.columns)
        return;
    total = 0;
#pragma unroll
    for (int i = 0; i < WARPS; i++)
        total += sums[i][lane];
    from_float(total, ((W *)a.dweight)[column]);
}

#define DWEIGHT(weight, W)                                                                         \
    extern "C" __global__ void __launch_bounds__(1024)                                             \
        rms_norm_dweight_##weight(rms_norm_dweight_args a)                                         \
    {                                                                                              \
        add_parts<W>(a);                                                                           \
    }

DWEIGHT(f32, float)
DWEIGHT(f16, half_t)
DWEIGHT(bf16, bfloat_t)
