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

/* What stands for a weight and for a bias that is not there: e * 1 + -0 has all bits of e. */
constexpr float NO_WEIGHT = 1.0f, NO_BIAS = -0.0f;

/* Whether weight and bias are read where they are used: float32 ones beside a shorter x would take
 * twice the registers. */
template <class T> __device__ __forceinline__ bool reads_late(const layer_norm_forward_args &a)
{
    return sizeof(T) != sizeof(float) && a.float_weight;
}

/* A vector of weight or bias, before it is used. */
template <class T>
__device__ __forceinline__ void load_early(packed<T> &out, const void *p, float instead,
                                           const layer_norm_forward_args &a, long long at)
{
    if (p && !reads_late<T>(a) && at < a.columns)
        out.load((const T *)p + at);
    else
        out.fill(instead);
}

/* Elements of weight or bias where they are used. */
template <class T, int N>
__device__ __forceinline__ void load_late(float (&out)[N], const void *p, float instead,
                                          const layer_norm_forward_args &a, long long at)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        out[k] = instead;
    if (p)
        load_weight<T>(out, p, a.float_weight, at);
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

/* Whether the digits of x go as far as those of the sums. */
template <class T> constexpr bool exact = sizeof(T) == sizeof(float);

/* What a row's sums say. The mean is middle + rest; shift is -rest * rstd. */
struct statistics {
    float middle, rest, rstd, shift;
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
    const float rstd = inverse_root(__fadd_rn(spread < 0 ? 0 : spread, a.eps));

    return { middle, rest, rstd, __fmul_rn(-rest, rstd) };
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

/* Of elements of s: y. */
template <class T, int N>
__device__ __forceinline__ void finish(float (&e)[N], const statistics &t, const float (&w)[N],
                                       const float (&b)[N])
{
#pragma unroll
    for (int k = 0; k < N; k++) {
        const float d = __fsub_rn(e[k], t.middle);
        e[k] = exact<T> ? __fmul_rn(__fsub_rn(d, t.rest), t.rstd) : __fmaf_rn(d, t.rstd, t.shift);
        e[k] = __fmaf_rn(e[k], w[k], b[k]);
    }
}

/* Two elements, with the vectors that load_early gave; they are its elements from k on.
 * MAY_BE_LATE: else weight and bias have T, and the code for the other case would be half of a
 * large kernel. */
template <class T, bool MAY_BE_LATE>
__device__ __forceinline__ void finish_pair(float (&e)[2], const layer_norm_forward_args &a,
                                            const statistics &t, long long at, int k,
                                            const packed<T> &weight, const packed<T> &bias)
{
    float w[2], b[2];

    if (MAY_BE_LATE && reads_late<T>(a)) {
        load_late<float>(w, a.weight, NO_WEIGHT, a, at + k);
        load_late<float>(b, a.bias, NO_BIAS, a, at + k);
    } else {
        weight.get(w, k);
        bias.get(b, k);
    }
    finish<T>(e, t, w, b);
}

/* Writes sum and y for some elements of s. */
template <class T, int N>
__device__ __forceinline__ void write(float (&s)[N], const layer_norm_forward_args &a,
                                      long long row, long long at, const statistics &t)
{
    float w[N], b[N];

    if (a.residual)
        store((T *)a.sum + row * a.sum_stride + at, s, a.streaming);
    load_late<T>(w, a.weight, NO_WEIGHT, a, at);
    load_late<T>(b, a.bias, NO_BIAS, a, at);
    finish<T>(s, t, w, b);
    store((T *)a.y + row * a.y_stride + at, s, a.streaming);
}

#endif
