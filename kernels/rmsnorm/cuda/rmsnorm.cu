/* RMSNorm forward: a row is shared by a number of threads, each with some vectors of 16 bytes of x.
 *
 * Bytes:  2*H*sizeof(x) a row (x read once, y written once), 4*H*sizeof(x) with the residual; the
 *         weight stays in L2.
 * Bound:  memory for thousands of rows; launch, ramp and drain below.
 * Bits:   threads and vectors are a function of the columns and the dtype alone (rmsnorm_cuda.c),
 * and the _any kernels add in the order of the shape they stand in for: a row gives the same bits
 *         whatever else is in the launch, aligned or not.
 * Why:    one read needs the row in registers; two vectors a thread keep enough loads in flight
 * with few registers. Rows longer than the largest shape (_long) and rows not made of aligned
 *         vectors (_any) are read twice, the second time mostly from L2.
 *
 * Entry points: [add_]rms_norm_<dtype>_<threads>x<vectors>, ..._long, ..._any. The readable form of
 * what they compute is cpu/rows.h.
 */
#include "rmsnorm_args.h"
#include "vec.cuh"

/* s: x, or x + residual, rounded when asked for. */
template <class T, int N>
__device__ __forceinline__ void load_sum(float (&s)[N], const rms_norm_forward_args &a,
                                         long long row, long long at, bool add)
{
    load(s, (const T *)a.x + row * a.x_stride + at);
    if (!add)
        return;
    float r[N];
    load(r, (const T *)a.residual + row * a.residual_stride + at);
#pragma unroll
    for (int k = 0; k < N; k++)
        s[k] += r[k];
    if (a.round_sum)
        round_to<T>(s);
}

/* Writes sum and y for one vector of s. */
template <class T, int N>
__device__ __forceinline__ void finish(const float (&s)[N], const rms_norm_forward_args &a,
                                       long long row, long long at, float rstd, bool add)
{
    float y[N], w[N];

    if (add)
        store((T *)a.sum + row * a.sum_stride + at, s);
#pragma unroll
    for (int k = 0; k < N; k++)
        y[k] = __fmul_rn(s[k], rstd);
    if (a.round_normalized)
        round_to<T>(y);
    if (a.weight) {
        load_weight<T>(w, a.weight, a.float_weight, at);
#pragma unroll
        for (int k = 0; k < N; k++)
            y[k] = __fmul_rn(y[k], __fadd_rn(w[k], a.weight_offset));
    }
    store((T *)a.y + row * a.y_stride + at, y);
}

template <int N> __device__ __forceinline__ float add_squares(const float (&s)[N], float total)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        total = __fmaf_rn(s[k], s[k], total);
    return total;
}

__device__ __forceinline__ float rstd_of(float squares, const rms_norm_forward_args &a)
{
    const float v = __fadd_rn(__fmul_rn(squares, a.inverse_columns), a.eps), r = rsqrtf(v);

    /* rsqrtf may be two places off; a Newton step makes that one. It has no answer at infinity. */
    return v < __int_as_float(0x7f800000) ? __fmaf_rn(0.5f * r, __fmaf_rn(-v * r, r, 1.0f), r) : r;
}

/* One block asks for the weight while its predecessor still runs; more than one would compete. */
template <class T> __device__ __forceinline__ void begin(const rms_norm_forward_args &a)
{
    if (a.weight && a.aligned && blockIdx.x == 0 && threadIdx.x == 0)
        prefetch_l2(a.weight, a.columns * (long long)(a.float_weight ? sizeof(float) : sizeof(T)));
    wait_for_predecessor();
}

template <class T, int ROW_THREADS, int VECTORS, bool ADD>
__device__ __forceinline__ void forward(const rms_norm_forward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ float shared[32];
    const int lane = threadIdx.x % ROW_THREADS;
    const long long row = (long long)blockIdx.x * (blockDim.x / ROW_THREADS) +
                          threadIdx.x / ROW_THREADS;
    const bool inside = row < a.rows;
    float s[VECTORS][N], total = 0;

    begin<T>(a);
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const long long at = (long long)(lane + v * ROW_THREADS) * N;
        if (inside && at < a.columns) {
            load_sum<T>(s[v], a, row, at, ADD);
            total = add_squares(s[v], total);
        }
    }
    let_successor_start();
    total = sum_over_row(total, ROW_THREADS, shared);
    if (!inside)
        return;
    const float rstd = rstd_of(total, a);
    if (a.rstd && lane == 0)
        a.rstd[row] = rstd;
    if (!a.y)
        return;
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const long long at = (long long)(lane + v * ROW_THREADS) * N;
        if (at < a.columns)
            finish<T>(s[v], a, row, at, rstd, ADD);
    }
}

/* Any row: read twice, C elements at a time, by the threads and in the order of the shape above
 * that has a.row_threads. */
template <class T, int C>
__device__ __forceinline__ void forward_twice(const rms_norm_forward_args &a)
{
    constexpr int N = lanes<T>::value;
    __shared__ float shared[32];
    const int lane = threadIdx.x % a.row_threads;
    const long long row = (long long)blockIdx.x * (blockDim.x / a.row_threads) +
                          threadIdx.x / a.row_threads;
    const long long columns = row < a.rows ? a.columns : 0, step = (long long)a.row_threads * N;
    const bool add = a.residual != nullptr;
    float s[C], total = 0;

    begin<T>(a);
    for (long long first = lane * N; first < columns; first += step)
        for (long long at = first; at < first + N && at < columns; at += C) {
            load_sum<T>(s, a, row, at, add);
            total = add_squares(s, total);
        }
    let_successor_start();
    const float rstd = rstd_of(sum_over_row(total, a.row_threads, shared), a);
    if (a.rstd && lane == 0 && columns)
        a.rstd[row] = rstd;
    if (!a.y)
        return;
    for (long long first = lane * N; first < columns; first += step)
        for (long long at = first; at < first + N && at < columns; at += C) {
            load_sum<T>(s, a, row, at, add);
            finish<T>(s, a, row, at, rstd, add);
        }
}

#define FORWARD(prefix, dtype, T, threads, vectors, block, add)                                    \
    extern "C" __global__ void __launch_bounds__(block)                                            \
        prefix##rms_norm_##dtype##_##threads##x##vectors(rms_norm_forward_args a)                  \
    {                                                                                              \
        forward<T, threads, vectors, add>(a);                                                      \
    }

#define FORWARD_TWICE(dtype, T, name, elements)                                                    \
    extern "C" __global__ void __launch_bounds__(1024)                                             \
        rms_norm_##dtype##_##name(rms_norm_forward_args a)                                         \
    {                                                                                              \
        forward_twice<T, elements>(a);                                                             \
    }

/* The shapes; rmsnorm_cuda.c chooses among them by the number of vectors in a row. */
#define FORWARD_SHAPES(prefix, dtype, T, add)                                                      \
    FORWARD(prefix, dtype, T, 8, 2, 128, add)                                                      \
    FORWARD(prefix, dtype, T, 64, 2, 256, add)                                                     \
    FORWARD(prefix, dtype, T, 256, 2, 256, add)                                                    \
    FORWARD(prefix, dtype, T, 512, 2, 512, add)

#define FORWARD_DTYPE(dtype, T)                                                                    \
    FORWARD_SHAPES(, dtype, T, false)                                                              \
    FORWARD_SHAPES(add_, dtype, T, true)                                                           \
    FORWARD_TWICE(dtype, T, long, lanes<T>::value)                                                 \
    FORWARD_TWICE(dtype, T, any, 1)

FORWARD_DTYPE(f32, float)
FORWARD_DTYPE(f16, half_t)
FORWARD_DTYPE(bf16, bfloat_t)
