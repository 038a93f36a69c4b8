/* cuda/math.cuh: for device code: the activations, and which elements a thread has. The readable
 * form is cpu/math.h; formulas and their reasons stand there and in activation.h.
 *
 * Products and sums are written as intrinsics, which the compiler never fuses or splits: kernels
 * for vectors and for single elements then give the same bits. 16-bit types take the
 * multiprocessor's approximations of exp2 and the reciprocal, whose errors vanish in the rounding;
 * float32 takes expf,
 * and divides or corrects the reciprocal.
 */
#ifndef KERNMILL_ACTIVATION_MATH_CUH
#define KERNMILL_ACTIVATION_MATH_CUH

#include <kernmill/row.cuh>
#include <kernmill/vec.cuh>

#include "activation_args.h"

/* as in activation.h */
enum kind { SILU, GELU, GELU_TANH, QUICK_GELU };

constexpr float TANH_LINEAR = 1.5957691216f; /* 2 * sqrt(2 / pi) */
constexpr float TANH_CUBIC = 0.07135481627f; /* 0.044715 of it */
constexpr float QUICK = 1.702f;

template <class T> __device__ __forceinline__ float exp_of(float v)
{
    if constexpr (sizeof(T) == sizeof(float))
        return expf(v);
    return __expf(v);
}

/* 1 / d for d from 1 up, where nothing overflows. */
template <class T> __device__ __forceinline__ float inverse(float d)
{
    float r;

    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(d));
    if constexpr (sizeof(T) == sizeof(float))
        r = __fmaf_rn(r, __fmaf_rn(-d, r, 1.0f), r);
    return r;
}

template <int KIND> __device__ __forceinline__ float sigmoid_argument(float x)
{
    if constexpr (KIND == GELU_TANH)
        return __fmul_rn(x, __fmaf_rn(__fmul_rn(x, x), TANH_CUBIC, TANH_LINEAR));
    if constexpr (KIND == QUICK_GELU)
        return __fmul_rn(x, QUICK);
    return x;
}

/* Phi(x), and exp(-x^2 / 2). */
template <class T> __device__ __forceinline__ float normal(float x, float &e)
{
    const float m = fabsf(x), c = m > 16.0f ? 16.0f : m; /* NaN stays */
    const float square = __fmul_rn(c, c);

    e = exp_of<T>(__fmul_rn(square, -0.5f));
    if constexpr (sizeof(T) == sizeof(float)) /* what the square lost */
        e = __fmaf_rn(e, __fmul_rn(__fmaf_rn(c, c, -square), -0.5f), e);
    const float t = inverse<T>(__fmaf_rn(c, 0.35f, 1.0f));
    float p = -0.02916531637f;
    p = __fmaf_rn(p, t, 0.14406770468f);
    p = __fmaf_rn(p, t, -0.25591641665f);
    p = __fmaf_rn(p, t, 0.15940992534f);
    p = __fmaf_rn(p, t, -0.0232758559f);
    p = __fmaf_rn(p, t, 0.10558003187f);
    p = __fmaf_rn(p, t, 0.11981413513f);
    p = __fmaf_rn(p, t, 0.13986453414f);
    p = __fmaf_rn(p, t, 0.13962124288f);
    const float tail = __fmul_rn(e, __fmul_rn(t, p));
    return x < 0.0f ? tail : __fadd_rn(1.0f, -tail);
}

template <class T, int KIND> __device__ __forceinline__ float activate(float x)
{
    if constexpr (KIND == GELU) {
        float e;
        return __fmul_rn(x, normal<T>(x, e));
    }
    const float z = sigmoid_argument<KIND>(x);
    if constexpr (sizeof(T) == sizeof(float) && KIND != GELU_TANH) /* as cpu/math.h says */
        return __fdiv_rn(x, __fadd_rn(expf(-z), 1.0f));
    const float a = exp_of<T>(-fabsf(z));
    return __fmul_rn(z < 0.0f ? __fmul_rn(x, a) : x, inverse<T>(__fadd_rn(a, 1.0f)));
}

/* act'(x), and act(x) with the bits that activate() gives. */
template <class T, int KIND> __device__ __forceinline__ float slope_of(float x, float &act)
{
    if constexpr (KIND == GELU) {
        float e;
        const float phi = normal<T>(x, e);
        act = __fmul_rn(x, phi);
        return __fmaf_rn(x, __fmul_rn(e, 0.3989422804f), phi);
    }
    const float z = sigmoid_argument<KIND>(x), a = exp_of<T>(-fabsf(z));
    const float q = inverse<T>(__fadd_rn(a, 1.0f)), b = __fmul_rn(a, q);
    float rest = __fmul_rn(x, __fmul_rn(b, q)); /* x * sigmoid(z) * sigmoid(-z) */

    if constexpr (sizeof(T) == sizeof(float))
        act = activate<T, KIND>(x);
    else
        act = __fmul_rn(z < 0.0f ? __fmul_rn(x, a) : x, q);
    if constexpr (KIND == QUICK_GELU)
        rest = __fmul_rn(rest, QUICK);
    if constexpr (KIND == GELU_TANH) /* finite, so that 0 times it is 0 */
        rest = __fmul_rn(rest,
                         __fmaf_rn(fminf(__fmul_rn(x, x), 1e10f), 3 * TANH_CUBIC, TANH_LINEAR));
    return __fadd_rn(z < 0.0f ? b : q, rest);
}

/* Of C elements; y becomes act(gate) [* up]. */
template <class T, int KIND, int C>
__device__ __forceinline__ void forward_of(float (&y)[C], const float (&gate)[C])
{
#pragma unroll
    for (int k = 0; k < C; k++)
        y[k] = activate<T, KIND>(gate[k]);
}

template <int C> __device__ __forceinline__ void multiply(float (&a)[C], const float (&b)[C])
{
#pragma unroll
    for (int k = 0; k < C; k++)
        a[k] = __fmul_rn(a[k], b[k]);
}

/* ---- which elements ---- */

/* Threads along x share a row, C elements each; threads along y have a row each. Blocks along x
 * are the chunks of a row; along y and z they are rows, because y holds 65535 only. */
__device__ __forceinline__ long long first_row()
{
    return ((long long)blockIdx.z * gridDim.y + blockIdx.y) * blockDim.y;
}

template <int C> __device__ __forceinline__ long long first_column()
{
    return (long long)blockIdx.x * blockDim.x * C;
}

/* What a block reads of one input, where its threads share one row. */
template <class T>
__device__ __forceinline__ void prefetch_chunk(const activation_args &a, const void *data,
                                               long long stride)
{
    const long long row = first_row(), at = first_column<lanes<T>::value>();
    const long long chunk = (long long)blockDim.x * lanes<T>::value, left = a.columns - at;

    if (row < a.rows && left >= lanes<T>::value)
        prefetch_l2((const T *)data + row * stride + at,
                    (left < chunk ? left : chunk) * (long long)sizeof(T));
}

#endif
