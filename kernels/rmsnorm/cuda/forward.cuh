/* cuda/forward.cuh: what all forward kernels do with a few elements of a row. */
#ifndef KERNMILL_RMSNORM_FORWARD_CUH
#define KERNMILL_RMSNORM_FORWARD_CUH

#include <kernmill/row.cuh>
#include <kernmill/vec.cuh>

#include "rmsnorm_args.h"

/* One block asks for the weight while its predecessor still runs; more than one would compete.
 * Rows are asked for only where the host says so: those that a predecessor is writing had better
 * not be. */
template <class T>
__device__ __forceinline__ void begin(const rms_norm_forward_args &a, long long block_rows)
{
    if (a.trigger_first)
        let_successor_start();
    if (threadIdx.x == 0) {
        const long long first = blockIdx.x * block_rows, left = a.rows - first;
        const long long begin = first * a.columns, bytes = (left < block_rows ? left : block_rows) *
                                                           a.columns * (long long)sizeof(T);
        if (a.weight && a.aligned && blockIdx.x == 0)
            prefetch_l2(a.weight,
                        a.columns * (long long)(a.float_weight ? sizeof(float) : sizeof(T)));
        if (a.prefetch_rows && left > 0) {
            prefetch_l2((const T *)a.x + begin, bytes);
            if (a.residual && a.residual_stride == a.columns)
                prefetch_l2((const T *)a.residual + begin, bytes);
        }
    }
    wait_for_predecessor();
}

/* A vector of the weight, before anything is computed. A float32 weight beside a shorter x would
 * take twice the registers: it is read late. */
template <class T>
__device__ __forceinline__ uint4 load_weight_early(const rms_norm_forward_args &a, long long at)
{
    if (!a.weight || (sizeof(T) != sizeof(float) && a.float_weight) || at >= a.columns)
        return make_uint4(0, 0, 0, 0);
    return load_16((const T *)a.weight + at);
}

/* s += r, rounded when asked for. */
template <class T, int N>
__device__ __forceinline__ void add_rounded(float (&s)[N], const float (&r)[N], bool round)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        s[k] += r[k];
    if (round)
        round_to<T>(s);
}

template <class T, int N>
__device__ __forceinline__ void add_residual(float (&s)[N], const uint4 &residual, bool round)
{
    float r[N];

    unpack_16(r, residual, T{});
    add_rounded<T>(s, r, round);
}

/* s: x, or x + residual. */
template <class T, int N>
__device__ __forceinline__ void load_sum(float (&s)[N], const rms_norm_forward_args &a,
                                         long long row, long long at)
{
    float r[N];

    load(s, (const T *)a.x + row * a.x_stride + at);
    if (!a.residual)
        return;
    load(r, (const T *)a.residual + row * a.residual_stride + at);
    add_rounded<T>(s, r, a.round_sum);
}

/* Even elements into the first sum, odd ones into the second: half the latency of one. */
template <int N> __device__ __forceinline__ void add_squares(const float (&s)[N], float (&total)[2])
{
#pragma unroll
    for (int k = 0; k < N; k++)
        total[k % 2] = __fmaf_rn(s[k], s[k], total[k % 2]);
}

__device__ __forceinline__ float rstd_of(float squares, const rms_norm_forward_args &a)
{
    return inverse_root(__fadd_rn(__fmul_rn(squares, a.inverse_columns), a.eps));
}

template <class T, int N>
__device__ __forceinline__ void scale(float (&e)[N], const rms_norm_forward_args &a, float rstd)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        e[k] = __fmul_rn(e[k], rstd);
    if (a.round_normalized)
        round_to<T>(e);
}

template <int N>
__device__ __forceinline__ void weigh(float (&e)[N], const float (&w)[N], float offset)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        e[k] = __fmul_rn(e[k], __fadd_rn(w[k], offset));
}

/* y of a vector of s, with the weight's vector that load_weight_early gave. */
template <class T, int N>
__device__ __forceinline__ void normalize(float (&e)[N], const rms_norm_forward_args &a, float rstd,
                                          long long at, const uint4 &weight)
{
    float w[N];

    scale<T>(e, a, rstd);
    if (!a.weight)
        return;
    if (sizeof(T) != sizeof(float) && a.float_weight)
        load(w, (const float *)a.weight + at);
    else
        unpack_16(w, weight, T{});
    weigh(e, w, a.weight_offset);
}

/* Writes sum and y for some elements of s. */
template <class T, int N>
__device__ __forceinline__ void write(float (&s)[N], const rms_norm_forward_args &a, long long row,
                                      long long at, float rstd)
{
    float w[N];

    if (a.residual)
        store((T *)a.sum + row * a.sum_stride + at, s, a.streaming);
    scale<T>(s, a, rstd);
    if (a.weight) {
        load_weight<T>(w, a.weight, a.float_weight, at);
        weigh(s, w, a.weight_offset);
    }
    store((T *)a.y + row * a.y_stride + at, s, a.streaming);
}

#endif
