/* LayerNorm forward, rows of more than 1024 vectors of 16 bytes: a block a row.
 *
 * Bytes:  as in layernorm.cu; the _long kernels read x two more times, mostly from L2.
 *
 * Bound:  memory for hundreds of rows; the time of one row below.
 *
 * Bits:   a row is cut into groups of 1024 vectors. In a group each vector's terms are added, then
 *         32 neighbours by a butterfly, then these 32 sums by another; the groups are added in
 *         order, in float64. Every kernel here keeps that tree, for the sum and for both powers:
 *         which of them runs changes no bit.
 *
 * Why:    up to 6 groups stay in the block, so that x is read once; the weight comes after the
 *         reductions, one vector ahead of the stores, when there is room for it.
 *
 * Entry points: layer_norm_<dtype>_1024x2, _1024x6, _long, _long_any.
 */
#include "forward.cuh"

constexpr int GROUP = 1024; /* vectors */

/* The tree over COUNT sums of a block of GROUP threads. */
template <int COUNT> struct tree {
    static_assert(COUNT <= 32, "a warp for each");
    float warps[COUNT][32], totals[COUNT];

    /* This thread's term of sum `i`. */
    __device__ __forceinline__ void put(int i, float v)
    {
        v = sum_over_lanes(v, 32);
        if (threadIdx.x % 32 == 0)
            warps[i][threadIdx.x / 32] = v;
    }

    /* Once all have been put: by a warp each, those below `used` in every `each`. */
    __device__ __forceinline__ void finish(int used, int each)
    {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

        __syncthreads();
        if (warp < COUNT && warp % each < used) {
            const float v = sum_over_lanes(warps[warp][lane], 32);
            if (lane == 0)
                totals[warp] = v;
        }
        __syncthreads();
    }

    __device__ __forceinline__ float total(int first, int used) const
    {
        double sum = 0;

        for (int i = first; i < first + used; i++)
            sum += totals[i];
        return (float)sum;
    }
};

template <class T>
__device__ __forceinline__ void put(const layer_norm_forward_args &a, long long row, long long at,
                                    const statistics &t, packed<T> x, const packed<T> &w,
                                    const packed<T> &b)
{
#pragma unroll
    for (int k = 0; k < lanes<T>::value; k += 2) {
        float e[2];
        x.get(e, k);
        finish_pair(e, a, t, at, k, w, b);
        x.put(k, e);
    }
    x.store((T *)a.y + row * a.y_stride + at, a.streaming);
}

/* A thread's vectors of a row, one of each group: four in registers, the others in its own places
 * of shared memory: more registers a block of this size has not. */
template <class T, int GROUPS> struct held {
    static constexpr int KEPT = GROUPS < 4 ? GROUPS : 4;
    packed<T> x[KEPT], (*others)[GROUP];

    __device__ __forceinline__ void set(int g, const packed<T> &v)
    {
        if (g < KEPT)
            x[g] = v;
        else
            others[g - KEPT][threadIdx.x] = v;
    }

    __device__ __forceinline__ packed<T> get(int g) const
    {
        return g < KEPT ? x[g] : others[g - KEPT][threadIdx.x];
    }
};

/* The mean and the spread of a row that the block holds. */
template <class T, int GROUPS>
__device__ __forceinline__ statistics measure(const held<T, GROUPS> &x,
                                              const layer_norm_forward_args &a, int mine)
{
    constexpr int N = lanes<T>::value;
    __shared__ tree<GROUPS> sums;
    __shared__ tree<2 * GROUPS> powers_sums;
    const int groups = (int)((a.columns + GROUP * N - 1) / (GROUP * N));

#pragma unroll
    for (int g = 0; g < GROUPS; g++)
        if (g < groups) {
            float total[2] = { 0, 0 };
            const packed<T> v = x.get(g);
#pragma unroll
            for (int k = 0; k < N; k += 2) {
                float e[2];
                v.get(e, k);
                add_terms(e, total);
            }
            sums.put(g, __fadd_rn(total[0], total[1]));
        }
    sums.finish(groups, GROUPS);
    const float middle = middle_of(sums.total(0, groups), a);
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
        if (g < groups) {
            powers p = {};
            const packed<T> v = x.get(g);
#pragma unroll
            for (int k = 0; mine + g * GROUP * N < a.columns && k < N; k += 2) {
                float e[2];
                v.get(e, k);
                add_powers(e, middle, p);
            }
            powers_sums.put(g, __fadd_rn(p.first[0], p.first[1]));
            powers_sums.put(GROUPS + g, __fadd_rn(p.second[0], p.second[1]));
        }
    powers_sums.finish(groups, GROUPS);
    return statistics_of(middle, powers_sums.total(0, groups), powers_sums.total(GROUPS, groups),
                         a);
}

/* One block of GROUP threads a row, a vector of each group in each thread. */
template <class T, int GROUPS>
__device__ __forceinline__ void forward_block(const layer_norm_forward_args &a)
{
    constexpr int N = lanes<T>::value, KEPT = held<T, GROUPS>::KEPT;
    __shared__ packed<T> others[GROUPS > KEPT ? GROUPS - KEPT : 1][GROUP];
    const long long row = blockIdx.x;
    const int mine = threadIdx.x * N; /* columns of a row that is held are few */
    held<T, GROUPS> x;
    packed<T> w, b, next;

    x.others = others;
    begin<T>(a, 1);
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        const int at = mine + g * GROUP * N;
        packed<T> v = {};
        if (at < a.columns)
            v.load((const T *)a.x + row * a.x_stride + at);
        x.set(g, v);
    }
    let_successor_start();
    const statistics t = measure<T>(x, a, mine);
    if (threadIdx.x == 0)
        keep(a, row, t);
    if (!a.y)
        return;
    load_early(w, a.weight, NO_WEIGHT, a, mine);
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        const int at = mine + g * GROUP * N;
        load_early(b, a.bias, NO_BIAS, a, at);
        if (g + 1 < GROUPS) /* one group ahead of the stores */
            load_early(next, a.weight, NO_WEIGHT, a, at + GROUP * N);
        if (at < a.columns)
            put<T>(a, row, at, t, x.get(g), w, b);
        w = next;
    }
}

/* The sum of a group's terms, the same bits in each thread. The caller uses the two rows of
 * `shared` by turns: who writes one has passed the barrier behind all reads of it. */
__device__ __forceinline__ float sum_of_group(float v, float *shared)
{
    v = sum_over_lanes(v, 32);
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    return sum_over_lanes(shared[threadIdx.x % 32], 32);
}

/* Both powers of a group at the price of one barrier. */
__device__ __forceinline__ void add_group(double (&total)[2], const powers &p, float2 *shared)
{
    const float first = sum_over_lanes(__fadd_rn(p.first[0], p.first[1]), 32);
    const float second = sum_over_lanes(__fadd_rn(p.second[0], p.second[1]), 32);

    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = make_float2(first, second);
    __syncthreads();
    const float2 mine = shared[threadIdx.x % 32];
    total[0] += sum_over_lanes(mine.x, 32);
    total[1] += sum_over_lanes(mine.y, 32);
}

/* The mean and the spread of a row of any length, read twice, C elements at a time. */
template <class T, int C>
__device__ __forceinline__ statistics measure_long(const layer_norm_forward_args &a, long long row,
                                                   long long mine)
{
    constexpr int N = lanes<T>::value;
    __shared__ float sums[2][32];
    __shared__ float2 powers_sums[2][32];
    float s[C];
    double total = 0, totals[2] = { 0, 0 };
    int turn = 0;

    for (long long group = 0; group < a.columns; group += GROUP * N, turn ^= 1) {
        const long long vector = group + mine;
        float terms[2] = { 0, 0 };
        for (long long at = vector; at < vector + N && at < a.columns; at += C) {
            load_sum<T>(s, a, row, at);
            add_terms(s, terms, C == 1 ? at % 2 : 0);
        }
        total += sum_of_group(__fadd_rn(terms[0], terms[1]), sums[turn]);
    }
    const float middle = middle_of((float)total, a);
    for (long long group = 0; group < a.columns; group += GROUP * N, turn ^= 1) {
        const long long vector = group + mine;
        powers p = {};
        for (long long at = vector; at < vector + N && at < a.columns; at += C) {
            load_sum<T>(s, a, row, at);
            add_powers(s, middle, p, C == 1 ? at % 2 : 0);
        }
        add_group(totals, p, powers_sums[turn]);
    }
    return statistics_of(middle, (float)totals[0], (float)totals[1], a);
}

/* One block a row of any length, read three times, C elements at a time. */
template <class T, int C>
__device__ __forceinline__ void forward_long(const layer_norm_forward_args &a)
{
    constexpr int N = lanes<T>::value;
    const long long row = blockIdx.x, mine = (long long)threadIdx.x * N;
    float s[C];

    begin<T>(a, 0);
    const statistics t = measure_long<T, C>(a, row, mine);
    let_successor_start();
    if (threadIdx.x == 0)
        keep(a, row, t);
    if (!a.y)
        return;
    for (long long vector = mine; vector < a.columns; vector += GROUP * N)
        for (long long at = vector; at < vector + N && at < a.columns; at += C) {
            load_sum<T>(s, a, row, at);
            write<T>(s, a, row, at, t);
        }
}

#define FORWARD(dtype, T, name, threads, blocks, call)                                             \
    extern "C" __global__ void __launch_bounds__(threads, blocks)                                  \
        layer_norm_##dtype##_##name(layer_norm_forward_args a)                                     \
    {                                                                                              \
        call(a);                                                                                   \
    }

#define FORWARD_DTYPE(dtype, T)                                                                    \
    FORWARD(dtype, T, 1024x2, 1024, 1, (forward_block<T, 2>))                                      \
    FORWARD(dtype, T, 1024x6, 1024, 1, (forward_block<T, 6>))                                      \
    FORWARD(dtype, T, long, 1024, 1, (forward_long<T, lanes<T>::value>))                           \
    FORWARD(dtype, T, long_any, 1024, 1, (forward_long<T, 1>))

FORWARD_DTYPE(f32, float)
FORWARD_DTYPE(f16, half_t)
FORWARD_DTYPE(bf16, bfloat_t)
