/* Activations forward: y = act(x), and y = act(gate) * up.
 *
 * Bytes:  2*sizeof(x) an element, 3*sizeof(x) with up: each is read once, y is written once.
 *
 * Bound:  memory from some thousand rows of a model's width on; launch and ramp below.
 *
 * Bits:   an element's depend on it and the dtype alone. The _any kernels, and the end of a row
 *         that fills no vector, go through the same arithmetic one element at a time (math.cuh).
 *
 * Why:    a thread has one 16-byte vector of each input, all under way before any is used, and few
 *         registers, so that many blocks share a multiprocessor: that hides more latency than more
 *         vectors a thread do. The grid has a dimension for the chunks of a row and two for rows,
 *         which saves a division. A dense matrix comes as one row.
 *
 * Entry points: act_<dtype>_<kind>, act_mul_<dtype>_<kind>; kind may be any: elements, not vectors,
 * and the kind as an argument.
 */
#include "math.cuh"

/* C elements of a row from `at` on. */
template <class T, int KIND, bool MUL, int C>
__device__ __forceinline__ void forward(const activation_args &a, long long row, long long at)
{
    float gate[C], up[C], y[C];

    load(gate, (const T *)a.gate + row * a.gate_stride + at);
    if constexpr (MUL)
        load(up, (const T *)a.up + row * a.up_stride + at);
    if (C > 1)
        let_successor_start();
    forward_of<T, KIND>(y, gate);
    if constexpr (MUL) {
        if (a.round_act)
            round_to<T>(y);
        multiply(y, up);
    }
    store((T *)a.y + row * a.y_stride + at, y, a.streaming);
}

template <class T, bool MUL> __device__ __forceinline__ void begin(const activation_args &a)
{
    if (a.prefetch && threadIdx.x == 0) {
        prefetch_chunk<T>(a, a.gate, a.gate_stride);
        if constexpr (MUL)
            prefetch_chunk<T>(a, a.up, a.up_stride);
    }
    wait_for_predecessor();
}

template <class T, int KIND, bool MUL>
__device__ __forceinline__ void forward_vectors(const activation_args &a)
{
    constexpr int C = lanes<T>::value;
    const long long row = first_row() + threadIdx.y, at = first_column<C>() + threadIdx.x * C;

    begin<T, MUL>(a);
    if (row >= a.rows || at >= a.columns)
        return;
    if (at + C <= a.columns) {
        forward<T, KIND, MUL, C>(a, row, at);
        return;
    }
#pragma unroll 1
    for (long long i = at; i < a.columns; i++)
        forward<T, KIND, MUL, 1>(a, row, i);
}

template <class T, bool MUL> __device__ __forceinline__ void forward_any(const activation_args &a)
{
    const long long row = first_row() + threadIdx.y, at = first_column<1>() + threadIdx.x;

    wait_for_predecessor();
    if (row >= a.rows || at >= a.columns)
        return;
    if (a.kind == SILU)
        forward<T, SILU, MUL, 1>(a, row, at);
    else if (a.kind == GELU)
        forward<T, GELU, MUL, 1>(a, row, at);
    else if (a.kind == GELU_TANH)
        forward<T, GELU_TANH, MUL, 1>(a, row, at);
    else
        forward<T, QUICK_GELU, MUL, 1>(a, row, at);
}

#define ENTRY(name, call)                                                                          \
    extern "C" __global__ void __launch_bounds__(448) name(activation_args a)                      \
    {                                                                                              \
        call(a);                                                                                   \
    }

#define ENTRIES(name, T, MUL)                                                                      \
    ENTRY(name##_silu, (forward_vectors<T, SILU, MUL>))                                            \
    ENTRY(name##_gelu, (forward_vectors<T, GELU, MUL>))                                            \
    ENTRY(name##_gelu_tanh, (forward_vectors<T, GELU_TANH, MUL>))                                  \
    ENTRY(name##_quick_gelu, (forward_vectors<T, QUICK_GELU, MUL>))                                \
    ENTRY(name##_any, (forward_any<T, MUL>))

ENTRIES(act_f32, float, false)
ENTRIES(act_f16, half_t, false)
ENTRIES(act_bf16, bfloat_t, false)
ENTRIES(act_mul_f32, float, true)
ENTRIES(act_mul_f16, half_t, true)
ENTRIES(act_mul_bf16, bfloat_t, true)
