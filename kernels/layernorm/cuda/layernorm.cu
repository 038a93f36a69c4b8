/* LayerNorm forward, rows of at most 1024 vectors of 16 bytes: a row is held in the registers of
 * the threads that share it. (Longer rows: layernorm_long.cu.)
 *
 * Bytes:  2*H*sizeof(x) a row (x read once, y written once), 4*H*sizeof(x) with the residual;
 *         weight and bias stay in L2.
 *
 * Bound:  memory for thousands of rows; launch, ramp and drain below.
 *
 * Bits:   threads and vectors are a function of the columns and the dtype alone (layernorm_cuda.c),
 *         and the _any kernels add in the order of the shape they stand in for: a row gives the
 *         same bits whatever else is in the launch, aligned or not.
 *
 * Why:    all loads of a thread, those of weight and bias too, are under way before the first value
 *         is used; two vectors a thread keep enough of them in flight with few registers. The mean
 *         costs one barrier, and the powers of what is centred around it another: the row is in
 *         registers, so the second pass is free of memory, and it keeps the digits that
 *         mean(x^2) - mean(x)^2 would lose.
 *
 * Entry points: [add_]layer_norm_<dtype>_<threads>x<vectors>, layer_norm_<dtype>_any. The readable
 * form of what they compute is cpu/rows.h.
 */
#include "forward.cuh"
#include "sums.cuh"

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

    __device__ __forceinline__ void load(const layer_norm_forward_args &a, long long which)
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

    /* Vector v of x; with ADD, of x + residual, once sum() has been called. */
    __device__ __forceinline__ void get(float (&e)[N], int v) const
    {
        if constexpr (ADD) {
#pragma unroll
            for (int k = 0; k < N; k++)
                e[k] = s[v][k];
        } else {
            unpack_16(e, x[v], T{});
        }
    }

    /* The sum of the elements; with ADD, of x + residual, which is written. */
    __device__ __forceinline__ float sum(const layer_norm_forward_args &a)
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
            add_terms(e, total);
        }
        return __fadd_rn(total[0], total[1]);
    }

    /* The powers around the middle. A vector that is not there is not centred: it stays nothing. */
    __device__ __forceinline__ void centre(float (&out)[2], const layer_norm_forward_args &a,
                                           float middle) const
    {
        powers p = {};

#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            float e[N];
            get(e, v);
            if (at(v) < a.columns)
                add_powers(e, middle, p);
        }
        out[0] = __fadd_rn(p.first[0], p.first[1]);
        out[1] = __fadd_rn(p.second[0], p.second[1]);
    }

    __device__ __forceinline__ void finish(const layer_norm_forward_args &a, const statistics &t,
                                           const uint4 (&w)[VECTORS], const uint4 (&b)[VECTORS])
    {
        if (!inside)
            return;
        if (threadIdx.x % ROW_THREADS == 0)
            keep(a, row, t);
        if (!a.y)
            return;
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            float e[N];
            if (at(v) >= a.columns)
                continue;
            get(e, v);
            normalize<T>(e, a, t, at(v), w[v], b[v]);
            store((T *)a.y + row * a.y_stride + at(v), e, a.streaming);
        }
    }
};

template <class T, int ROW_THREADS, int VECTORS, int ROWS, bool ADD>
__device__ __forceinline__ void forward(const layer_norm_forward_args &a)
{
    static_assert(ROWS == 1 || ROW_THREADS <= 32, "the reductions' shared memory is used once");
    __shared__ float shared[32];
    __shared__ float2 shared_powers[32];
    const int groups = blockDim.x / ROW_THREADS;
    const long long first = (long long)blockIdx.x * groups * ROWS + threadIdx.x / ROW_THREADS;
    part<T, ROW_THREADS, VECTORS, ADD> p[ROWS];
    uint4 w[VECTORS], b[VECTORS];
    float middle[ROWS], powers[ROWS][2];

    begin<T>(a, (long long)groups * ROWS);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        p[k].load(a, first + k * groups);
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        w[v] = load_early<T>(a.weight, a, p[0].at(v));
        b[v] = load_early<T>(a.bias, a, p[0].at(v));
    }
    if (!a.trigger_first)
        let_successor_start();
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        middle[k] = p[k].sum(a);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        middle[k] = middle_of(sum_over_row(middle[k], ROW_THREADS, shared), a);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        p[k].centre(powers[k], a, middle[k]);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        sums_over_row(powers[k], ROW_THREADS, shared_powers);
#pragma unroll
    for (int k = 0; k < ROWS; k++)
        p[k].finish(a, statistics_of(middle[k], powers[k][0], powers[k][1], a), w, b);
}

/* Any row of at most 1024 vectors, element by element: read three times, by the threads and in the
 * order of the shape above that has a.row_threads. */
template <class T> __device__ __forceinline__ void forward_any(const layer_norm_forward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ float shared[32];
    __shared__ float2 shared_powers[32];
    const int lane = threadIdx.x % a.row_threads;
    const long long row = (long long)blockIdx.x * (blockDim.x / a.row_threads) +
                          threadIdx.x / a.row_threads;
    const long long columns = row < a.rows ? a.columns : 0, step = (long long)a.row_threads * N;
    float s[1], total[2] = { 0, 0 };
    powers p = {};

    begin<T>(a, 0);
    for (long long vector = lane * N; vector < columns; vector += step)
        for (long long at = vector; at < vector + N && at < columns; at++) {
            load_sum<T>(s, a, row, at);
            add_terms(s, total, at % 2);
        }
    const float sum = sum_over_row(__fadd_rn(total[0], total[1]), a.row_threads, shared);
    const float middle = middle_of(sum, a);
    for (long long vector = lane * N; vector < columns; vector += step)
        for (long long at = vector; at < vector + N && at < columns; at++) {
            load_sum<T>(s, a, row, at);
            add_powers(s, middle, p, at % 2);
        }
    let_successor_start();
    float powers[2] = { __fadd_rn(p.first[0], p.first[1]), __fadd_rn(p.second[0], p.second[1]) };
    sums_over_row(powers, a.row_threads, shared_powers);
    const statistics t = statistics_of(middle, powers[0], powers[1], a);
    if (lane == 0 && columns)
        keep(a, row, t);
    if (!a.y)
        return;
    for (long long vector = lane * N; vector < columns; vector += step)
        for (long long at = vector; at < vector + N && at < columns; at++) {
            load_sum<T>(s, a, row, at);
            write<T>(s, a, row, at, t);
        }
}

/* 56 to 64 registers: the fewest that hold what two rows, or a sum in float, need without a spill.
 */
#define FORWARD(prefix, dtype, T, threads, vectors, rows, block, add)                              \
    extern "C" __global__ void __launch_bounds__(block, (rows > 1 || add ? 1024 : 1152) / block)   \
        prefix##layer_norm_##dtype##_##threads##x##vectors(layer_norm_forward_args a)              \
    {                                                                                              \
        forward<T, threads, vectors, rows, add>(a);                                                \
    }

/* The shapes; layernorm_cuda.c chooses among them by the number of vectors in a row. */
#define FORWARD_SHAPES(prefix, dtype, T, rows, add)                                                \
    FORWARD(prefix, dtype, T, 16, 1, rows, 128, add)                                               \
    FORWARD(prefix, dtype, T, 32, 2, 1, 128, add)                                                  \
    FORWARD(prefix, dtype, T, 64, 2, 1, 256, add)                                                  \
    FORWARD(prefix, dtype, T, 128, 2, 1, 128, add)                                                 \
    FORWARD(prefix, dtype, T, 256, 2, 1, 256, add)                                                 \
    FORWARD(prefix, dtype, T, 512, 2, 1, 512, add)

#define FORWARD_DTYPE(dtype, T)                                                                    \
    FORWARD_SHAPES(, dtype, T, 2, false)                                                           \
    FORWARD_SHAPES(add_, dtype, T, 1, true)                                                        \
    extern "C" __global__ void __launch_bounds__(512)                                              \
        layer_norm_##dtype##_any(layer_norm_forward_args a)                                        \
    {                                                                                              \
        forward_any<T>(a);                                                                         \
    }

FORWARD_DTYPE(f32, float)
FORWARD_DTYPE(f16, half_t)
FORWARD_DTYPE(bf16, bfloat_t)
