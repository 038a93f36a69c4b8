/* cuda/forward.cuh: what all forward kernels do with a few elements of a row. */
#ifndef KERNMILL_LAYERNORM_FORWARD_CUH
#define KERNMILL_LAYERNORM_FORWARD_CUH

#include <kernmill/row.cuh>
#include <kernmill/vec.cuh>

#include "layernorm_args.h"

/* A weight or bias, by one thread; of a very long one the beginning. */
template <class T>
__device__ __forceinline__ void prefetch_vector(const void *p, const layer_norm_forward_args &a)
{
    const long long most = 1 << 20;
    const long long bytes = a.columns * (long long)(a.float_weight ? sizeof(float) : sizeof(T));

    if (p)
        prefetch_l2(p, bytes < most ? bytes : most);
}

/* One block asks for weight and bias while its predecessor still runs; more than one would compete.
 * Rows are asked for only where the host says so: those that a predecessor is writing had better
 * not be. */
template <class T>
__device__ __forceinline__ void begin(const layer_norm_forward_args &a, long long block_rows)
{
    if (a.trigger_first)
        let_successor_start();
    if (threadIdx.x == 0) {
        const long long first = blockIdx.x * block_rows, left = a.rows - first;
        if (a.aligned && blockIdx.x == 0) {
            prefetch_vector<T>(a.weight, a);
            prefetch_vector<T>(a.bias, a);
        }
        if (a.prefetch_rows && left > 0)
            prefetch_l2((const T *)a.x + first * a.columns,
                        (left < block_rows ? left : block_rows) * a.columns * (long long)sizeof(T));
    }
    wait_for_predecessor();
}

/* A vector of weight or bias, before anything is computed. Float32 ones beside a shorter x would
 * take twice the registers: they are read late. */
template <class T>
__device__ __forceinline__ uint4 load_early(const void *p, const layer_norm_forward_args &a,
                                            long long at)
{
    if (!p || (sizeof(T) != sizeof(float) && a.float_weight) || at >= a.columns)
        return make_uint4(0, 0, 0, 0);
    return load_16((const T *)p + at);
}

/* The vector that load_early gave, or the one it did not. */
template <class T, int N>
__device__ __forceinline__ void unpack_early(float (&out)[N], const void *p, const uint4 &early,
                                             const layer_norm_forward_args &a, long long at)
{
    if (sizeof(T) != sizeof(float) && a.float_weight)
        load(out, (const float *)p + at);
    else
        unpack_16(out, early, T{});
}

/* s += r, rounded when asked for. */
template <class T, int N>
__device__ __forceinline__ void add_rounded(float (&s)[N], const float (&r)[N], bool round)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        s[k] = __fadd_rn(s[k], r[k]);
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
__device__ __forceinline__ void load_sum(float (&s)[N], const layer_norm_forward_args &a,
                                         long long row, long long at)
{
    float r[N];

    load(s, (const T *)a.x + row * a.x_stride + at);
    if (!a.residual)
        return;
    load(r, (const T *)a.residual + row * a.residual_stride + at);
    add_rounded<T>(s, r, a.round_sum);
}

/* Elements by turns into two sums, for half the latency of one. An element has its turn by its
 * column, so that one at a time (`odd` is that of the first) gives the same sums. */
template <int N>
__device__ __forceinline__ void add_terms(const float (&s)[N], float (&total)[2], int odd = 0)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        total[(k + odd) % 2] = __fadd_rn(total[(k + odd) % 2], s[k]);
}

/* The first and second powers of what is centred around the middle: each by turns. */
struct powers {
    float first[2], second[2];
};

template <int N>
__device__ __forceinline__ void add_powers(const float (&s)[N], float middle, powers &p,
                                           int odd = 0)
{
#pragma unroll
    for (int k = 0; k < N; k++) {
        const float d = __fsub_rn(s[k], middle);
        const int turn = (k + odd) % 2;
        p.first[turn] = __fadd_rn(p.first[turn], d);
        p.second[turn] = __fmaf_rn(d, d, p.second[turn]);
    }
}

/* What a row's sums say: s - middle - rest is the centred value. */
struct statistics {
    float middle, rest, rstd;
};

__device__ __forceinline__ float middle_of(float total, const layer_norm_forward_args &a)
{
    return __fmul_rn(total, a.inverse_columns);
}

__device__ __forceinline__ statistics statistics_of(float middle, float first, float second,
                                                    const layer_norm_forward_args &a)
{
    const float rest = __fmul_rn(first, a.inverse_columns);
    const float spread = __fmaf_rn(-rest, rest, __fmul_rn(second, a.inverse_columns));
    const float v = __fadd_rn(spread < 0 ? 0 : spread, a.eps), r = rsqrtf(v);

    /* rsqrtf may be two places off; a Newton step makes that one. It has no answer at infinity. */
    return { middle, rest,
             v < __int_as_float(0x7f800000)
                 ? __fmaf_rn(0.5f * r, __fmaf_rn(__fmul_rn(-v, r), r, 1.0f), r)
                 : r };
}

/* By one thread of the row. */
__device__ __forceinline__ void keep(const layer_norm_forward_args &a, long long row,
                                     const statistics &t)
{
    if (!a.rstd)
        return;
    a.mean[row] = __fadd_rn(t.middle, t.rest);
    a.rstd[row] = t.rstd;
}

template <int N> __device__ __forceinline__ void scale(float (&e)[N], const statistics &t)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        e[k] = __fmul_rn(__fsub_rn(__fsub_rn(e[k], t.middle), t.rest), t.rstd);
}

/* e * w + b; without a weight e + b, without a bias e * w. */
template <int N>
__device__ __forceinline__ void weigh(float (&e)[N], const float (&w)[N], const float (&b)[N],
                                      bool weight, bool bias)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        e[k] = !bias ? __fmul_rn(e[k], w[k]) : __fmaf_rn(e[k], weight ? w[k] : 1.0f, b[k]);
}

/* y of a vector of s, with the vectors of weight and bias that load_early gave. */
template <class T, int N>
__device__ __forceinline__ void normalize(float (&e)[N], const layer_norm_forward_args &a,
                                          const statistics &t, long long at, const uint4 &weight,
                                          const uint4 &bias)
{
    float w[N], b[N];

    scale(e, t);
    if (a.weight)
        unpack_early<T>(w, a.weight, weight, a, at);
    if (a.bias)
        unpack_early<T>(b, a.bias, bias, a, at);
    if (a.weight || a.bias)
        weigh(e, w, b, a.weight, a.bias);
}

/* Writes sum and y for some elements of s. */
template <class T, int N>
__device__ __forceinline__ void write(float (&s)[N], const layer_norm_forward_args &a,
                                      long long row, long long at, const statistics &t)
{
    float w[N], b[N];

    if (a.residual)
        store((T *)a.sum + row * a.sum_stride + at, s, a.streaming);
    scale(s, t);
    if (a.weight)
        load_weight<T>(w, a.weight, a.float_weight, at);
    if (a.bias)
        load_weight<T>(b, a.bias, a.float_weight, at);
    if (a.weight || a.bias)
        weigh(s, w, b, a.weight, a.bias);
    store((T *)a.y + row * a.y_stride + at, s, a.streaming);
}

#endif
