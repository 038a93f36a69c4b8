/* RMSNorm of each head of queries and keys, alone or before rotary embedding, in one launch.
 *
 * Bytes:  2*D*sizeof(x) a head (read once, written once), where a norm and a rotation of their own
 *         move twice as many; weights and a row of the tables stay in the caches.
 *
 * Bound:  memory for thousands of positions; launch, ramp and drain below.
 *
 * Bits:   which elements a lane adds, and the butterfly over a head's lanes, are a function of D,
 *         R and the dtype alone; the _any kernels give the same elements to the same lanes.
 *
 * Why:    a lane holds a vector of x1 and its partner in x2, as in rotary.cu, so that a head of 128
 *         takes 8 lanes and three shuffles. x and the tables are asked for before the first value
 *         is used; the weights, which all heads share, come from the nearest cache once the sum is
 *         there, and take no registers before.
 *
 * Without pairs every slot is one that passes through: the norm alone, which reads no table.
 *
 * Entry points: rotary_norm_<halves or pairs>_<dtype>[_any]. The readable form of what they compute
 * is cpu/rows.h.
 */
#include "rotate.cuh"

__device__ __forceinline__ const void *weight_of(const rotary_args &a, int head)
{
    return head < a.q_heads ? a.q.weight : a.k.weight;
}

__device__ __forceinline__ float rstd_of(float squares, const rotary_args &a)
{
    return inverse_root(__fadd_rn(__fmul_rn(squares, a.inverse_columns), a.eps));
}

/* Elements x, with their weights w, normalised. */
template <class T, int N>
__device__ __forceinline__ void normalize(float (&x)[N], const float (&w)[N], const rotary_args &a,
                                          float rstd)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        x[k] = __fmul_rn(x[k], rstd);
    if (a.round_norm)
        round_to<T>(x);
#pragma unroll
    for (int k = 0; k < N; k++)
        x[k] = __fmul_rn(x[k], __fadd_rn(w[k], a.weight_offset));
    if (a.round_norm)
        round_to<T>(x);
}

/* The two places of slot `slot`, as columns. Beyond the pairs a slot has 2 * N elements that pass
 * through. */
template <int N, bool PAIRS>
__device__ __forceinline__ void places(const rotary_args &a, int slot, int &first, int &second)
{
    if (slot >= a.pair_slots) {
        first = (int)(2 * a.half + (slot - a.pair_slots) * 2 * N);
        second = first + N;
    } else {
        first = slot * (PAIRS ? 2 * N : N);
        second = PAIRS ? first + N : (int)a.half + first;
    }
}

/* A slot of a head, whose weight is in WEIGHT. */
template <class T, class WEIGHT, bool PAIRS> struct norm_slot {
    static constexpr int N = lanes<T>::value, C = lanes<WEIGHT>::value;
    packed_pairs<T, N, PAIRS> x;

    __device__ __forceinline__ float squares() const
    {
        float total[2] = { 0, 0 };

#pragma unroll
        for (int k = 0; k < N; k += 2) {
            float x1[2], x2[2];
            x.get(x1, x2, k);
#pragma unroll
            for (int i = 0; i < 2; i++) {
                total[0] = __fmaf_rn(x1[i], x1[i], total[0]);
                total[1] = __fmaf_rn(x2[i], x2[i], total[1]);
            }
        }
        return total[0] + total[1];
    }

    /* The pairs from `part` that `of` has angles for become what is stored; without `rotated` they
     * pass through. `first` and `second` are the weights of pair 0. */
    template <class ANGLES>
    __device__ __forceinline__ void finish(const rotary_args &a, float rstd, bool rotated, int part,
                                           const ANGLES &of, const WEIGHT *first,
                                           const WEIGHT *second)
    {
        packed_pairs<WEIGHT, C, PAIRS> w;

#pragma unroll
        for (int k = 0; k < ANGLES::N; k += 2) {
            const int from = (part + k) / C * C;
            float x1[2], x2[2], w1[2], w2[2];
            angles<2> t;
            if (k == 0 || part + k == from)
                w.load(first + (PAIRS ? 2 * from : from),
                       PAIRS ? first + 2 * from + C : second + from);
            x.get(x1, x2, part + k);
            w.get(w1, w2, part + k - from);
            normalize<T>(x1, w1, a, rstd);
            normalize<T>(x2, w2, a, rstd);
            of.get(t, k, a.conj);
            if (rotated)
                rotate<T>(x1, x2, t, a.round_products);
            x.put(part + k, x1, x2);
        }
    }
};

/* Heads made of whole aligned vectors, a slot a lane. All lanes take part in the sum. */
template <class T, class TABLE, class WEIGHT, bool PAIRS>
__device__ __forceinline__ void norm_head(const rotary_args &a)
{
    constexpr int N = lanes<T>::value, M = lanes<TABLE>::value;
    const long long position = (long long)blockIdx.x * blockDim.z + threadIdx.z;
    const int head = blockIdx.y * blockDim.y + threadIdx.y, slot = threadIdx.x;
    const bool inside = position < a.length && head < a.heads && slot < a.slots;
    const bool rotated = slot < a.pair_slots;
    int first, second;

    norm_slot<T, WEIGHT, PAIRS> s = {};
    packed_angles<TABLE, !PAIRS> packed = {};
    head_rows<T> h = {};

    places<N, PAIRS>(a, slot, first, second);
    if (inside) {
        h = rows_of<T>(a, blockIdx.z, position, head);
        s.x.load(h.from + first, h.from + second);
        if (rotated)
            packed.load(a, blockIdx.z, position, slot * N);
    }
    let_successor_start();
    const float rstd = rstd_of(sum_over_lanes(s.squares(), blockDim.x), a);
    if (!inside)
        return;
    const WEIGHT *weight = (const WEIGHT *)weight_of(a, head);
#pragma unroll
    for (int part = 0; part < N; part += M) { /* as many pairs as a vector has angles for */
        if (part && rotated)
            packed.load(a, blockIdx.z, position, slot * N + part);
        s.finish(a, rstd, rotated, part, packed, weight + first, weight + second);
    }
    s.x.store(h.to + first, h.to + second, a.streaming);
}

template <class T, bool PAIRS> __device__ __forceinline__ void norm_rotary(const rotary_args &a)
{
    wait_for_predecessor();
    if (sizeof(T) == sizeof(float) || (a.float_table && a.float_weight))
        norm_head<T, float, float, PAIRS>(a);
    else if (a.float_table)
        norm_head<T, float, T, PAIRS>(a);
    else if (a.float_weight)
        norm_head<T, T, float, PAIRS>(a);
    else
        norm_head<T, T, T, PAIRS>(a);
}

/* Element `k` of both places of a slot, as columns: those that norm_rotary has in x1[k] and x2[k].
 * -1 for one that is not there. */
template <int N, bool PAIRS>
__device__ __forceinline__ void columns_of(const rotary_args &a, long long slot, int k,
                                           long long &first, long long &second)
{
    const bool rest = slot >= a.pair_slots;
    const long long from = rest ? 2 * a.half : 0;
    const long long end = rest ? a.columns : PAIRS ? 2 * a.half : a.half;
    const long long i = rest ? slot - a.pair_slots : slot;

    if (PAIRS) {
        first = from + 2 * (i * N + k);
        second = first + 1;
    } else {
        first = from + i * (rest ? 2 * N : N) + k;
        second = rest ? first + N : first;
    }
    first = first < end ? first : -1;
    second = second < end ? second : -1;
    if (!PAIRS && !rest && second >= 0)
        second += a.half;
}

/* One element of the head, normalised. */
template <class T>
__device__ __forceinline__ void load_normalized(float (&x)[1], const rotary_args &a, const T *from,
                                                const void *weight, long long column, float rstd)
{
    float w[1];

    load(x, from + column);
    load_weight<T>(w, weight, a.float_weight, column);
    normalize<T>(x, w, a, rstd);
}

template <class T, int N, bool PAIRS>
__device__ __forceinline__ float head_rstd(const rotary_args &a, const T *from, bool inside)
{
    float x[1], total = 0;

    for (long long slot = threadIdx.x; inside && slot < a.slots; slot += blockDim.x) {
        float part[2] = { 0, 0 };
        for (int k = 0; k < N; k++) {
            long long first, second;
            columns_of<N, PAIRS>(a, slot, k, first, second);
            if (first >= 0) {
                load(x, from + first);
                part[0] = __fmaf_rn(x[0], x[0], part[0]);
            }
            if (second >= 0) {
                load(x, from + second);
                part[1] = __fmaf_rn(x[0], x[0], part[1]);
            }
        }
        total += part[0] + part[1];
    }
    return rstd_of(sum_over_lanes(total, blockDim.x), a);
}

/* Any head, element by element: read twice, by the lanes and in the order of norm_rotary. */
template <class T, bool PAIRS> __device__ __forceinline__ void norm_rotary_any(const rotary_args &a)
{
    constexpr int N = lanes<T>::value;
    const long long position = (long long)blockIdx.x * blockDim.z + threadIdx.z;
    const long long head = (long long)blockIdx.y * blockDim.y + threadIdx.y;
    const bool inside = position < a.length && head < a.heads;

    wait_for_predecessor();
    for (long long batch = blockIdx.z; batch < a.batch; batch += gridDim.z) {
        const head_rows<T> h = rows_of<T>(a, batch, position, (int)head);
        const void *weight = weight_of(a, (int)head);
        const float rstd = head_rstd<T, N, PAIRS>(a, h.from, inside);
        for (long long slot = threadIdx.x; inside && slot < a.slots; slot += blockDim.x)
            for (int k = 0; k < N; k++) {
                long long first, second;
                float x1[1], x2[1];
                angles<1> t;
                columns_of<N, PAIRS>(a, slot, k, first, second);
                if (first >= 0)
                    load_normalized<T>(x1, a, h.from, weight, first, rstd);
                if (second >= 0)
                    load_normalized<T>(x2, a, h.from, weight, second, rstd);
                if (slot < a.pair_slots && first >= 0) {
                    load_angles<T, PAIRS>(t, a, batch, position, slot * N + k);
                    rotate<T>(x1, x2, t, a.round_products);
                }
                if (first >= 0)
                    store(h.to + first, x1);
                if (second >= 0)
                    store(h.to + second, x2);
            }
    }
}

#define NORM(name, function, T, pairs)                                                             \
    extern "C" __global__ void __launch_bounds__(160, 7) rotary_norm_##name(rotary_args a)         \
    {                                                                                              \
        function<T, pairs>(a);                                                                     \
    }

#define NORM_DTYPE(dtype, T)                                                                       \
    NORM(halves_##dtype, norm_rotary, T, false)                                                    \
    NORM(pairs_##dtype, norm_rotary, T, true)                                                      \
    NORM(halves_##dtype##_any, norm_rotary_any, T, false)                                          \
    NORM(pairs_##dtype##_any, norm_rotary_any, T, true)

NORM_DTYPE(f32, float)
NORM_DTYPE(f16, half_t)
NORM_DTYPE(bf16, bfloat_t)
