/* LayerNorm forward, rows of at most 8192 vectors of 16 bytes: a row is held in the registers of
 * the threads that share it. (Longer rows: layernorm_long.cu.)
 *
 * Bytes:  2*H*sizeof(x) a row (x read once, y written once), 4*H*sizeof(x) with the residual;
 *         weight and bias stay in L2. The _again and _any kernels read x once or twice more.
 *
 * Bound:  memory for thousands of rows; launch, ramp and drain below.
 *
 * Bits:   threads and vectors are a function of the columns and the dtype alone (layernorm_cuda.c),
 *         and the _again and _any kernels add in the order of the shape they stand in for: a row
 *         gives the same bits whatever else is in the launch, aligned or not.
 *
 * Why:    two vectors a thread keep enough loads in flight with few registers, so that many threads
 *         are there: 179 us at 32768 x 4096 bfloat16 with 40 registers, 201 us with 64 (H100;
 *         a copy takes 178). Of rows of over 2048 vectors a block has 512 threads where two blocks
 *         then share a multiprocessor: 358 us at 8192 x 32768, 370 us with one of 1024 (a copy
 *         takes 353). They are unpacked two elements at a time. Each warp adds around a value of
 *         its own, which keeps the digits that mean(x^2) - mean(x)^2 would lose, and costs one
 *         barrier.
 *
 * Entry points: [add_]layer_norm_<dtype>_<threads>x<vectors>, layer_norm_<dtype>_again (rows that
 * no registers hold) and _any (element by element). The readable form of what they compute is
 * cpu/rows.h.
 */
#include "sums.cuh"

/* One row's part of a thread: the vectors lane, lane + ROW_THREADS, ... */
template <class T, int ROW_THREADS, int VECTORS, bool ADD> struct part {
    static constexpr int N = lanes<T>::value;
    static constexpr int WIDTH = ROW_THREADS < 32 ? ROW_THREADS : 32;
    static constexpr bool ALONE = ROW_THREADS >= 512; /* in its block */
    packed<T> x[VECTORS], r[ADD ? VECTORS : 1];
    float s[ADD ? VECTORS : 1][N]; /* x + residual, once add() has been called */
    long long row;
    bool inside;

    static __device__ __forceinline__ int lane()
    {
        return ALONE ? threadIdx.x : threadIdx.x % ROW_THREADS;
    }

    /* Which of the block's rows. */
    static __device__ __forceinline__ int group()
    {
        return ALONE ? 0 : threadIdx.x / ROW_THREADS;
    }

    static __device__ __forceinline__ int at(int v)
    {
        return (lane() + v * ROW_THREADS) * N;
    }

    __device__ __forceinline__ void load(const layer_norm_forward_args &a, long long which)
    {
        row = which;
        inside = row < a.rows;
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            x[v] = {};
            if (inside && at(v) < (int)a.columns)
                x[v].load((const T *)a.x + row * a.x_stride + at(v));
            if constexpr (ADD) {
                r[v] = {};
                if (inside && at(v) < (int)a.columns)
                    r[v].load((const T *)a.residual + row * a.residual_stride + at(v));
            }
        }
    }

    /* Two elements of vector v. */
    __device__ __forceinline__ void get(float (&e)[2], int v, int k) const
    {
        if constexpr (ADD) {
            e[0] = s[v][k];
            e[1] = s[v][k + 1];
        } else {
            x[v].get(e, k);
        }
    }

    /* x + residual of vector v is computed, and written. */
    __device__ __forceinline__ void add(const layer_norm_forward_args &a, int v)
    {
#pragma unroll
        for (int k = 0; k < N; k += 2) {
            float e[2], other[2];
            x[v].get(e, k);
            r[v].get(other, k);
            add_rounded<T>(e, other, a.round_sum);
            s[v][k] = e[0];
            s[v][k + 1] = e[1];
            x[v].put(k, e);
        }
        if (inside && at(v) < (int)a.columns)
            x[v].store((T *)a.sum + row * a.sum_stride + at(v), a.streaming);
    }

    __device__ __forceinline__ float sum()
    {
        float total[2] = { 0, 0 };

#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
#pragma unroll
            for (int k = 0; k < N; k += 2) {
                float e[2];
                get(e, v, k);
                add_terms(e, total);
            }
        }
        return __fadd_rn(total[0], total[1]);
    }

    /* What the warp measures from: see sums.cuh. */
    __device__ __forceinline__ float middle(int count)
    {
        if constexpr (exact<T>) {
            return divide(sum_over_lanes(sum(), WIDTH), count);
        } else {
            float e[2];
            get(e, 0, 0);
            return __shfl_sync(0xffffffff, e[0], 0, WIDTH);
        }
    }

    /* The warp's sums. A vector that is not there is not centred: it stays nothing. */
    __device__ __forceinline__ warp_sums measure(const layer_norm_forward_args &a)
    {
        const int count = elements_of_warp<N>(lane(), (int)a.columns, ROW_THREADS);
        const float from = middle(count);
        powers p = {};

#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            x[v].forget_floats();
#pragma unroll
            for (int k = 0; at(v) < (int)a.columns && k < N; k += 2) {
                float e[2];
                get(e, v, k);
                add_powers(e, from, p);
            }
            x[v].forget_floats();
        }
        return add_lanes(p, from, count, WIDTH);
    }

    __device__ __forceinline__ void load_parameters(const layer_norm_forward_args &a, int v,
                                                    packed<T> &w, packed<T> &b)
    {
        load_early(w, a.weight, NO_WEIGHT, a, at(v));
        load_early(b, a.bias, NO_BIAS, a, at(v));
    }

    /* Before vector v is written: its weight and bias, or, when there are two places, those of the
     * next as soon as a written vector has left its registers. */
    template <int PLACES>
    __device__ __forceinline__ void load_as_needed(const layer_norm_forward_args &a, int v,
                                                   packed<T> (&w)[PLACES], packed<T> (&b)[PLACES])
    {
        if (PLACES == 1 || v <= 1)
            load_parameters(a, v, w[v % PLACES], b[v % PLACES]);
        if (PLACES == 2 && v >= 1 && v + 1 < VECTORS)
            load_parameters(a, v + 1, w[(v + 1) % PLACES], b[(v + 1) % PLACES]);
    }

    /* Where PLACES are as many as vectors, all of weight and bias is there. */
    template <int PLACES>
    __device__ __forceinline__ void finish(const layer_norm_forward_args &a, const statistics &t,
                                           packed<T> (&w)[PLACES], packed<T> (&b)[PLACES])
    {
        if (!inside)
            return;
        if (lane() == 0)
            keep(a, row, t);
        if (!a.y)
            return;
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            if constexpr (PLACES < VECTORS)
                load_as_needed(a, v, w, b);
            if (at(v) >= (int)a.columns)
                continue;
#pragma unroll
            for (int k = 0; k < N; k += 2) {
                float e[2];
                get(e, v, k);
                finish_pair<T, VECTORS <= 2>(e, a, t, at(v), k, w[v % PLACES], b[v % PLACES]);
                x[v].put(k, e);
            }
            x[v].store((T *)a.y + row * a.y_stride + at(v), a.streaming);
        }
    }
};

/* How many vectors of weight and bias a thread holds. 1024 threads have few registers; with two
 * vectors, two blocks' warps wait by turns. */
template <int ROW_THREADS, int VECTORS>
constexpr int places = VECTORS > 2          ? 2
                       : ROW_THREADS < 1024 ? VECTORS
                                            : 1;

template <class T, int ROW_THREADS, int VECTORS, int ROWS, bool ADD>
__device__ __forceinline__ void forward(const layer_norm_forward_args &a)
{
    static_assert(ROWS == 1 || ROW_THREADS <= 32, "the reductions' shared memory is used once");
    using row_part = part<T, ROW_THREADS, VECTORS, ADD>;
    constexpr int PLACES = places<ROW_THREADS, VECTORS>;
    __shared__ warp_sums shared[32];
    const int groups = row_part::ALONE ? 1 : blockDim.x / ROW_THREADS;
    const long long first = (long long)blockIdx.x * groups * ROWS + row_part::group();
    row_part p[ROWS];
    packed<T> w[PLACES], b[PLACES];

    begin<T>(a, (long long)groups * ROWS);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        p[k].load(a, first + k * groups);
    if constexpr (PLACES == VECTORS)
#pragma unroll
        for (int v = 0; v < VECTORS; v++)
            p[0].load_parameters(a, v, w[v], b[v]);
    if (!a.trigger_first)
        let_successor_start();
    if constexpr (ADD)
#pragma unroll
        for (int k = 0; k < ROWS * VECTORS; k++)
            p[k / VECTORS].add(a, k % VECTORS);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        p[k].finish(a, join_warps<T>(p[k].measure(a), ROW_THREADS, row_part::group(), shared, a), w,
                    b);
}

/* What the warp measures from, C elements at a time. */
template <class T, int C>
__device__ __forceinline__ float middle_again(const layer_norm_forward_args &a, long long row,
                                              long long columns, int count)
{
    constexpr int N = lanes<T>::value;
    const int lane = threadIdx.x % a.row_threads, width = a.row_threads < 32 ? a.row_threads : 32;
    const long long step = (long long)a.row_threads * N, first = lane / 32 * 32 * N;

    if constexpr (!exact<T>) {
        float s[1] = {};
        if (first < columns)
            load_sum<T>(s, a, row, first);
        return s[0];
    } else {
        float s[C], total[2] = { 0, 0 };
        for (long long vector = lane * N; vector < columns; vector += step)
            for (long long at = vector; at < vector + N && at < columns; at += C) {
                load_sum<T>(s, a, row, at);
                add_terms(s, total, C == 1 ? at % 2 : 0);
            }
        return divide(sum_over_lanes(__fadd_rn(total[0], total[1]), width), count);
    }
}

/* Any row of at most 8192 vectors, C elements at a time: read again for each pass, by the threads
 * and in the order of the shape above that has a.row_threads. */
template <class T, int C>
__device__ __forceinline__ void forward_again(const layer_norm_forward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ warp_sums shared[32];
    const int lane = threadIdx.x % a.row_threads, width = a.row_threads < 32 ? a.row_threads : 32;
    const int group = threadIdx.x / a.row_threads;
    const long long row = (long long)blockIdx.x * (blockDim.x / a.row_threads) + group;
    const long long columns = row < a.rows ? a.columns : 0, step = (long long)a.row_threads * N;
    const int count = elements_of_warp<N>(lane, (int)a.columns, a.row_threads);
    float s[C];
    powers p = {};

    begin<T>(a, 0);
    const float middle = middle_again<T, C>(a, row, columns, count);
    for (long long vector = lane * N; vector < columns; vector += step)
        for (long long at = vector; at < vector + N && at < columns; at += C) {
            load_sum<T>(s, a, row, at);
            add_powers(s, middle, p, C == 1 ? at % 2 : 0);
        }
    let_successor_start();
    const statistics t = join_warps<T>(add_lanes(p, middle, count, width), a.row_threads, group,
                                       shared, a);
    if (lane == 0 && columns)
        keep(a, row, t);
    if (!a.y)
        return;
    for (long long vector = lane * N; vector < columns; vector += step)
        for (long long at = vector; at < vector + N && at < columns; at += C) {
            load_sum<T>(s, a, row, at);
            write<T>(s, a, row, at, t);
        }
}

/* 40 registers, and 32 for blocks of 1024: more threads in flight are worth more than the last few.
 * A sum in float takes 60. */
#define FORWARD(name, T, row_threads, vectors, rows, block, blocks, add)                           \
    extern "C" __global__ void __launch_bounds__(block, blocks) name(layer_norm_forward_args a)    \
    {                                                                                              \
        forward<T, row_threads, vectors, rows, add>(a);                                            \
    }

/* The shapes; layernorm_cuda.c chooses among them by the number of vectors in a row. */
#define FORWARD_SHAPES(name, T, rows, threads, add)                                                \
    FORWARD(name##_16x1, T, 16, 1, rows, 128, (threads) / 128, add)                                \
    FORWARD(name##_32x2, T, 32, 2, 1, 128, (threads) / 128, add)                                   \
    FORWARD(name##_64x2, T, 64, 2, 1, 256, (threads) / 256, add)                                   \
    FORWARD(name##_128x2, T, 128, 2, 1, 128, (threads) / 128, add)                                 \
    FORWARD(name##_256x2, T, 256, 2, 1, 256, (threads) / 256, add)                                 \
    FORWARD(name##_512x2, T, 512, 2, 1, 512, (threads) / 512, add)

#define AGAIN(dtype, T, name, C)                                                                   \
    extern "C" __global__ void __launch_bounds__(1024)                                             \
        layer_norm_##dtype##_##name(layer_norm_forward_args a)                                     \
    {                                                                                              \
        forward_again<T, C>(a);                                                                    \
    }

#define FORWARD_DTYPE(dtype, T)                                                                    \
    FORWARD_SHAPES(layer_norm_##dtype, T, 2, 1536, false)                                          \
    FORWARD(layer_norm_##dtype##_768x2, T, 768, 2, 1, 768, 2, false)                               \
    FORWARD(layer_norm_##dtype##_1024x2, T, 1024, 2, 1, 1024, 2, false)                            \
    FORWARD(layer_norm_##dtype##_512x8, T, 512, 8, 1, 512, 2, false)                               \
    FORWARD(layer_norm_##dtype##_1024x8, T, 1024, 8, 1, 1024, 1, false)                            \
    FORWARD_SHAPES(add_layer_norm_##dtype, T, 1, 1024, true)                                       \
    AGAIN(dtype, T, again, lanes<T>::value)                                                        \
    AGAIN(dtype, T, any, 1)

FORWARD_DTYPE(f32, float)
FORWARD_DTYPE(f16, half_t)
FORWARD_DTYPE(bf16, bfloat_t)
