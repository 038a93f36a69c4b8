/* RMSNorm forward, rows of more than 1024 vectors of 16 bytes: a block a row.
 *
 * Bytes:  as in rmsnorm.cu; the _long kernels read x a second time, mostly from L2.
 *
 * Bound:  memory for hundreds of rows; the time of one row below.
 *
 * Bits:   a row is cut into groups of 1024 vectors. In a group each vector's squares are added,
 *         then 32 neighbours by a butterfly, then these 32 sums by another; the groups are added in
 *         order, in float64. Every kernel here keeps that tree: which of them runs changes no bit.
 *
 * Why:    up to 8 groups stay in registers, so that x is read once; the weight comes after the
 *         reduction, one vector ahead of the stores, when there is room for it. Of rows of at most
 *         4 groups a block has 512 threads where two blocks then share a multiprocessor: 357 us at
 *         8192 x 32768 bfloat16, 369 us with one of 1024 (H100; a copy takes 353).
 *
 * Entry points: rms_norm_<dtype>_1024x2, _512x8, _1024x8, _long, _long_any.
 */
#include "forward.cuh"

constexpr int GROUP = 1024; /* vectors */

template <class T> __device__ __forceinline__ float squares_of(const uint4 &x)
{
    float e[lanes<T>::value], total[2] = { 0, 0 };

    unpack_16(e, x, T{});
    add_squares(e, total);
    return total[0] + total[1];
}

template <class T>
__device__ __forceinline__ void put(const rms_norm_forward_args &a, long long row, long long at,
                                    float rstd, const uint4 &x, const uint4 &w)
{
    float e[lanes<T>::value];

    unpack_16(e, x, T{});
    normalize<T>(e, a, rstd, at, w);
    store((T *)a.y + row * a.y_stride + at, e, a.streaming);
}

/* One block a row of at most GROUPS groups, of each of which a thread has GROUP / THREADS vectors.
 */
template <class T, int GROUPS, int THREADS>
__device__ __forceinline__ void forward_block(const rms_norm_forward_args &a)
{
    constexpr int N = lanes<T>::value, PARTS = GROUP / THREADS, VECTORS = GROUPS * PARTS;
    __shared__ float sums[GROUPS][32], group_sums[GROUPS];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long long row = blockIdx.x, mine = (long long)threadIdx.x * N;
    const int groups = (int)((a.columns + GROUP * N - 1) / (GROUP * N));
    uint4 x[VECTORS], w, next;
    double total = 0;

    begin<T>(a, 1);
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const long long at = mine + v * THREADS * N;
        x[v] = at < a.columns ? load_16((const T *)a.x + row * a.x_stride + at)
                              : make_uint4(0, 0, 0, 0);
    }
    let_successor_start();
#pragma unroll
    for (int v = 0; v < VECTORS; v++)
        if (v / PARTS < groups) {
            const float sum = sum_over_lanes(squares_of<T>(x[v]), 32);
            if (lane == 0)
                sums[v / PARTS][v % PARTS * (THREADS / 32) + warp] = sum;
        }
    __syncthreads();
    if (warp < groups) {
        const float sum = sum_over_lanes(sums[warp][lane], 32);
        if (lane == 0)
            group_sums[warp] = sum;
    }
    __syncthreads();
    for (int g = 0; g < groups; g++)
        total += group_sums[g];
    const float rstd = rstd_of((float)total, a);
    if (a.rstd && threadIdx.x == 0)
        a.rstd[row] = rstd;
    if (!a.y)
        return;
    w = load_weight_early<T>(a, mine);
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const long long at = mine + v * THREADS * N;
        if (v + 1 < VECTORS) /* one vector ahead of the stores */
            next = load_weight_early<T>(a, at + THREADS * N);
        if (at < a.columns)
            put<T>(a, row, at, rstd, x[v], w);
        w = next;
    }
}

/* One block a row of any length, read twice, C elements at a time. */
template <class T, int C>
__device__ __forceinline__ void forward_long(const rms_norm_forward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ float sums[2][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long long row = blockIdx.x, mine = (long long)threadIdx.x * N;
    float s[C];
    double total = 0;
    int turn = 0;

    begin<T>(a, 0);
    for (long long group = 0; group < a.columns; group += GROUP * N, turn ^= 1) {
        const long long vector = group + mine;
        float squares[2] = { 0, 0 };
        for (long long at = vector; at < vector + N && at < a.columns; at += C) {
            load_sum<T>(s, a, row, at);
            if constexpr (C == 1)
                squares[at % 2] = __fmaf_rn(s[0], s[0], squares[at % 2]);
            else
                add_squares(s, squares);
        }
        const float v = sum_over_lanes(squares[0] + squares[1], 32);
        if (lane == 0)
            sums[turn][warp] = v;
        __syncthreads();
        total += sum_over_lanes(sums[turn][lane], 32);
    }
    let_successor_start();
    const float rstd = rstd_of((float)total, a);
    if (a.rstd && threadIdx.x == 0)
        a.rstd[row] = rstd;
    if (!a.y)
        return;
    for (long long vector = mine; vector < a.columns; vector += GROUP * N)
        for (long long at = vector; at < vector + N && at < a.columns; at += C) {
            load_sum<T>(s, a, row, at);
            write<T>(s, a, row, at, rstd);
        }
}

#define FORWARD(dtype, T, name, threads, blocks, call)                                             \
    extern "C" __global__ void __launch_bounds__(threads, blocks)                                  \
        rms_norm_##dtype##_##name(rms_norm_forward_args a)                                         \
    {                                                                                              \
        call(a);                                                                                   \
    }

#define FORWARD_DTYPE(dtype, T)                                                                    \
    FORWARD(dtype, T, 1024x2, 1024, 2, (forward_block<T, 2, 1024>))                                \
    FORWARD(dtype, T, 512x8, 512, 2, (forward_block<T, 4, 512>))                                   \
    FORWARD(dtype, T, 1024x8, 1024, 1, (forward_block<T, 8, 1024>))                                \
    FORWARD(dtype, T, long, 1024, 1, (forward_long<T, lanes<T>::value>))                           \
    FORWARD(dtype, T, long_any, 1024, 1, (forward_long<T, 1>))

FORWARD_DTYPE(f32, float)
FORWARD_DTYPE(f16, half_t)
FORWARD_DTYPE(bf16, bfloat_t)
