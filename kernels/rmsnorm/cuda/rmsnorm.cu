/* RMSNorm forward, rows of at most 1024 vectors of 16 bytes: a row is held in the registers of the
 * threads that share it. (Longer rows: rmsnorm_long.cu.)
 *
 * Bytes:  2*H*sizeof(x) a row (x read once, y written once), 4*H*sizeof(x) with the residual; the
 *         weight stays in L2.
 *
 * Bound:  memory for thousands of rows; launch, ramp and drain below.
 *
 * Bits:   threads and vectors are a function of the columns and the dtype alone (rmsnorm_cuda.c),
 *         and the _any kernels add in the order of the shape they stand in for: a row gives the
 *         same bits whatever else is in the launch, aligned or not.
 *
 * Why:    all loads of a thread, the weight's too, are under way before the first value is used;
 *         two vectors a thread keep enough of them in flight with few registers.
 *
 * Entry points: [add_]rms_norm_<dtype>_<threads>x<vectors>, rms_norm_<dtype>_any. The readable form
 * of what they compute is cpu/rows.h.
 */
#include "forward.cuh"

/* One row's part of a thread: the vectors lane, lane + ROW_THREADS, ... */
template <class T, int ROW_THREADS, int VECTORS, bool ADD> struct part {
    static constexpr int N = lanes<T>::value;
    uint4 x[VECTORS], r[ADD ? VECTORS : 1];
    float s[ADD ? VECTORS : 1][N];
    long long row;
    bool inside;

    static __device__ __forceinline__ long long at(int v)
    {
        return (long long)(threadIdx.x % ROW_THREADS + v * ROW_THREADS) * N;
    }

    __device__ __forceinline__ void load(const rms_norm_forward_args &a, long long which)
    {
        row = which;
        inside = row < a.rows;
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            const bool there = inside && at(v) < a.columns;
            x[v] = there ? load_16((const T *)a.x + row * a.x_stride + at(v))
                         : make_uint4(0, 0, 0, 0);
            if constexpr (ADD)
                r[v] = there ? load_16((const T *)a.residual + row * a.residual_stride + at(v))
                             : make_uint4(0, 0, 0, 0);
        }
    }

    /* The sum of the squares; with ADD, of x + residual, which is written. */
    __device__ __forceinline__ float squares(const rms_norm_forward_args &a)
    {
        float total[2] = { 0, 0 };

#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            float e[N];
            unpack_16(e, x[v], T{});
            if constexpr (ADD) {
                add_residual<T>(e, r[v], a.round_sum);
                if (inside && at(v) < a.columns)
                    store((T *)a.sum + row * a.sum_stride + at(v), e, a.streaming);
#pragma unroll
                for (int k = 0; k < N; k++)
                    s[v][k] = e[k];
            }
            add_squares(e, total);
        }
        return total[0] + total[1];
    }

    __device__ __forceinline__ void finish(const rms_norm_forward_args &a, float rstd,
                                           const uint4 (&w)[VECTORS])
    {
        if (!inside)
            return;
        if (a.rstd && threadIdx.x % ROW_THREADS == 0)
            a.rstd[row] = rstd;
        if (!a.y)
            return;
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            float e[N];
            if (at(v) >= a.columns)
                continue;
            if constexpr (ADD) {
#pragma unroll
                for (int k = 0; k < N; k++)
                    e[k] = s[v][k];
            } else {
                unpack_16(e, x[v], T{});
            }
            normalize<T>(e, a, rstd, at(v), w[v]);
            store((T *)a.y + row * a.y_stride + at(v), e, a.streaming);
        }
    }
};

template <class T, int ROW_THREADS, int VECTORS, int ROWS, bool ADD>
__device__ __forceinline__ void forward(const rms_norm_forward_args &a)
{
    __shared__ float shared[32];
    const int groups = blockDim.x / ROW_THREADS;
    const long long first = (long long)blockIdx.x * groups * ROWS + threadIdx.x / ROW_THREADS;
    part<T, ROW_THREADS, VECTORS, ADD> p[ROWS];
    uint4 w[VECTORS];
    float total[ROWS];

    begin<T>(a, (long long)groups * ROWS);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        p[k].load(a, first + k * groups);
#pragma unroll
    for (int v = 0; v < VECTORS; v++)
        w[v] = load_weight_early<T>(a, p[0].at(v));
    if (!a.trigger_first)
        let_successor_start();
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        total[k] = p[k].squares(a);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        total[k] = sum_over_row(total[k], ROW_THREADS, shared);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        p[k].finish(a, rstd_of(total[k], a), w);
}

/* Any row of at most 1024 vectors, element by element: read twice, by the threads and in the order
 * of the shape above that has a.row_threads. */
template <class T> __device__ __forceinline__ void forward_any(const rms_norm_forward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ float shared[32];
    const int lane = threadIdx.x % a.row_threads;
    const long long row = (long long)blockIdx.x * (blockDim.x / a.row_threads) +
                          threadIdx.x / a.row_threads;
    const long long columns = row < a.rows ? a.columns : 0, step = (long long)a.row_threads * N;
    float s[1], total[2] = { 0, 0 };

    begin<T>(a, 0);
    for (long long vector = lane * N; vector < columns; vector += step)
        for (long long at = vector; at < vector + N && at < columns; at++) {
            load_sum<T>(s, a, row, at);
            total[at % 2] = __fmaf_rn(s[0], s[0], total[at % 2]);
        }
    let_successor_start();
    const float rstd = rstd_of(sum_over_row(total[0] + total[1], a.row_threads, shared), a);
    if (a.rstd && lane == 0 && columns)
        a.rstd[row] = rstd;
    if (!a.y)
        return;
    for (long long vector = lane * N; vector < columns; vector += step)
        for (long long at = vector; at < vector + N && at < columns; at++) {
            load_sum<T>(s, a, row, at);
            write<T>(s, a, row, at, rstd);
        }
}

/* 40 registers: more threads in flight are worth more than the last few. With a residual a thread
 * has twice the loads in flight, and 64 registers for its sum in float: 355 us at 32768 x 4096
 * bfloat16, 403 us with 40 (H100; a copy takes 355). */
#define FORWARD(name, T, row_threads, vectors, rows, block, blocks, add)                           \
    extern "C" __global__ void __launch_bounds__(block, blocks) name(rms_norm_forward_args a)      \
    {                                                                                              \
        forward<T, row_threads, vectors, rows, add>(a);                                            \
    }

/* The shapes; rmsnorm_cuda.c chooses among them by the number of vectors in a row. */
#define FORWARD_SHAPES(name, T, rows, threads, add)                                                \
    FORWARD(name##_16x1, T, 16, 1, rows, 128, (threads) / 128, add)                                \
    FORWARD(name##_32x2, T, 32, 2, 1, 128, (threads) / 128, add)                                   \
    FORWARD(name##_64x2, T, 64, 2, 1, 256, (threads) / 256, add)                                   \
    FORWARD(name##_128x2, T, 128, 2, 1, 128, (threads) / 128, add)                                 \
    FORWARD(name##_256x2, T, 256, 2, 1, 256, (threads) / 256, add)                                 \
    FORWARD(name##_512x2, T, 512, 2, 1, 512, (threads) / 512, add)

#define FORWARD_DTYPE(dtype, T)                                                                    \
    FORWARD_SHAPES(rms_norm_##dtype, T, 2, 1536, false)                                            \
    FORWARD_SHAPES(add_rms_norm_##dtype, T, 1, 1024, true)                                         \
    extern "C" __global__ void __launch_bounds__(512)                                              \
        rms_norm_##dtype##_any(rms_norm_forward_args a)                                            \
    {                                                                                              \
        forward_any<T>(a);                                                                         \
    }

FORWARD_DTYPE(f32, float)
FORWARD_DTYPE(f16, half_t)
FORWARD_DTYPE(bf16, bfloat_t)
