/* cuda/sums.cuh: the mean and the spread of a row from those of its warps.
 *
 * A warp adds around a value of its own, so that the threads of a row meet once; the warps' means
 * and spreads then make those of the row (Chan, Golub and LeVeque, Updating formulae and a pairwise
 * algorithm for computing sample variances, 1979). Float32 is measured from the warp's mean, which
 * takes a pass of its own. For 16 bits the warp's first element will do: were it far from all
 * others, the spread would lose 9 of 24 bits.
 */
#ifndef KERNMILL_LAYERNORM_SUMS_CUH
#define KERNMILL_LAYERNORM_SUMS_CUH

#include "forward.cuh"

/* What a warp has of a row: the mean of its `count` elements, middle + rest, and the sum of their
 * squared distances from it. */
struct __align__(16) warp_sums {
    float middle, rest, second, count;
};

/* How many elements of a row the lanes have that add up together: a warp's, or those of a narrower
 * row; vectors of N elements go to a row's threads by turns. */
template <int N> __device__ __forceinline__ int elements_of_warp(int lane, int columns, int threads)
{
    const int width = (threads < 32 ? threads : 32) * N;
    int count = 0;

#pragma unroll 1 /* once or twice */
    for (int at = lane / 32 * 32 * N; at < columns; at += threads * N)
        count += columns - at < width ? columns - at : width;
    return count;
}

/* Nothing of nothing. */
__device__ __forceinline__ float divide(float sum, int count)
{
    float r;

    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"((float)count));
    return count ? __fmul_rn(sum, r) : 0.0f;
}

/* From the powers around `middle` of each thread, added over a group of `width` lanes. */
__device__ __forceinline__ warp_sums add_lanes(const powers &p, float middle, int count, int width)
{
    const float first = sum_over_lanes(__fadd_rn(p.first[0], p.first[1]), width);
    const float second = sum_over_lanes(__fadd_rn(p.second[0], p.second[1]), width);
    const float rest = divide(first, count);

    return { middle, rest, __fmaf_rn(-rest, first, second), (float)count };
}

/* The warps of a row by a butterfly, the same bits in each thread; where their number is no power
 * of two, some lanes have nothing. The row is the block's `group`th; `all` has a place for each
 * warp of the block and is used once. */
template <class T>
__device__ __forceinline__ statistics join_warps(const warp_sums &mine, int threads, int group,
                                                 warp_sums *all, const layer_norm_forward_args &a)
{
    const int warps = threads > 32 ? threads / 32 : 1;
    const int lanes = warps & (warps - 1) ? 32 : warps, lane = threadIdx.x % lanes;
    warp_sums w = mine, first = mine;
    float middle;

    if (warps > 1) {
        if (threadIdx.x % 32 == 0)
            all[threadIdx.x / 32] = mine;
        __syncthreads();
        all += group * warps;
        w = lane < warps ? all[lane] : warp_sums{};
        first = all[0];
    }
    if constexpr (exact<T>)
        middle = __fmul_rn(sum_over_lanes(__fmul_rn(w.middle, w.count), lanes), a.inverse_columns);
    else
        middle = __fadd_rn(first.middle, first.rest);
    const float d = __fadd_rn(__fsub_rn(w.middle, middle), w.rest), moved = __fmul_rn(w.count, d);
    return statistics_of(middle, sum_over_lanes(moved, lanes),
                         sum_over_lanes(__fmaf_rn(moved, d, w.second), lanes), a);
}

#endif
