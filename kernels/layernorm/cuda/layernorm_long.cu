/* LayerNorm forward, rows of more than 8192 vectors of 16 bytes: a block a row.
 *
 * Bytes:  as in layernorm.cu, but x is read three times, mostly from L2.
 *
 * Bound:  the time of one row.
 *
 * Bits:   a row is cut into groups of 1024 vectors. In a group each vector's terms are added, then
 *         32 neighbours by a butterfly, then these 32 sums by another; the groups are added in
 *         order, in float64. Both kernels keep that tree.
 *
 * Why:    no block has the registers for such a row.
 *
 * Entry points: layer_norm_<dtype>_long, _long_any.
 */
#include "forward.cuh"

constexpr int GROUP = 1024; /* vectors */

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
    FORWARD(dtype, T, long, 1024, 1, (forward_long<T, lanes<T>::value>))                           \
    FORWARD(dtype, T, long_any, 1024, 1, (forward_long<T, 1>))

FORWARD_DTYPE(f32, float)
FORWARD_DTYPE(f16, half_t)
FORWARD_DTYPE(bf16, bfloat_t)
