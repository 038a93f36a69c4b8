/* Activations backward, from the inputs alone: dx = dy * act'(x), and for y = act(gate) * up
 *
 *     dgate = dy * up * act'(gate)
 *     dup = dy * act(gate)
 *
 * Bytes:  3*sizeof(x) an element, 5*sizeof(x) with up: each is read once and written once.
 *
 * Bound:  memory, as the forward.
 *
 * Bits:   as in activation.cu. act(gate) has the bits of the forward, and is rounded as there.
 *
 * Why:    the shape of activation.cu. act and act' share one exponential and one reciprocal, so
 *         that keeping the forward's act(gate) would save no time and cost memory.
 *
 * Entry points: act_backward_<dtype>_<kind>, act_mul_backward_<dtype>_<kind>; any as there.
 */
#include "math.cuh"

template <class T, int KIND, bool MUL, int C>
__device__ __forceinline__ void backward(const activation_args &a, long long row, long long at)
{
    float dy[C], gate[C], up[C], act[C], slope[C];

    load(gate, (const T *)a.gate + row * a.gate_stride + at);
    load(dy, (const T *)a.dy + row * a.dy_stride + at);
    if constexpr (MUL)
        load(up, (const T *)a.up + row * a.up_stride + at);
    if (C > 1)
        let_successor_start();
#pragma unroll
    for (int k = 0; k < C; k++)
        slope[k] = slope_of<T, KIND>(gate[k], act[k]);
    if constexpr (MUL) {
        if (a.round_act)
            round_to<T>(act);
        multiply(act, dy);
        store((T *)a.dup + row * a.dup_stride + at, act, a.streaming);
        multiply(dy, up);
    }
    multiply(dy, slope);
    store((T *)a.dgate + row * a.dgate_stride + at, dy, a.streaming);
}

template <class T, bool MUL> __device__ __forceinline__ void begin(const activation_args &a)
{
    if (a.prefetch && threadIdx.x == 0) {
        prefetch_chunk<T>(a, a.gate, a.gate_stride);
        prefetch_chunk<T>(a, a.dy, a.dy_stride);
        if constexpr (MUL)
            prefetch_chunk<T>(a, a.up, a.up_stride);
    }
    wait_for_predecessor();
}

template <class T, int KIND, bool MUL>
__device__ __forceinline__ void backward_vectors(const activation_args &a)
{
    constexpr int C = lanes<T>::value;
    const long long row = first_row() + threadIdx.y, at = first_column<C>() + threadIdx.x * C;

    begin<T, MUL>(a);
    if (row >= a.rows || at >= a.columns)
        return;
    if (at + C <= a.columns) {
        backward<T, KIND, MUL, C>(a, row, at);
        return;
    }
#pragma unroll 1
    for (long long i = at; i < a.columns; i++)
        backward<T, KIND, MUL, 1>(a, row, i);
}

template <class T, bool MUL> __device__ __forceinline__ void backward_any(const activation_args &a)
{
    const long long row = first_row() + threadIdx.y, at = first_column<1>() + threadIdx.x;

    wait_for_predecessor();
    if (row >= a.rows || at >= a.columns)
        return;
    if (a.kind == SILU)
        backward<T, SILU, MUL, 1>(a, row, at);
    else if (a.kind == GELU)
        backward<T, GELU, MUL, 1>(a, row, at);
    else if (a.kind == GELU_TANH)
        backward<T, GELU_TANH, MUL, 1>(a, row, at);
    else
        backward<T, QUICK_GELU, MUL, 1>(a, row, at);
}

#define ENTRY(name, call)                                                                          \
    extern "C" __global__ void __launch_bounds__(448) name(activation_args a)                      \
    {                                                                                              \
        call(a);                                                                                   \
    }

#define ENTRIES(name, T, MUL)                                                                      \
    ENTRY(name##_silu, (backward_vectors<T, SILU, MUL>))                                           \
    ENTRY(name##_gelu, (backward_vectors<T, GELU, MUL>))                                           \
    ENTRY(name##_gelu_tanh, (backward_vectors<T, GELU_TANH, MUL>))                                 \
    ENTRY(name##_quick_gelu, (backward_vectors<T, QUICK_GELU, MUL>))                               \
    ENTRY(name##_any, (backward_any<T, MUL>))

ENTRIES(act_backward_f32, float, false)
ENTRIES(act_backward_f16, half_t, false)
ENTRIES(act_backward_bf16, bfloat_t, false)
ENTRIES(act_mul_backward_f32, float, true)
ENTRIES(act_mul_backward_f16, half_t, true)
ENTRIES(act_mul_backward_bf16, bfloat_t, true)
