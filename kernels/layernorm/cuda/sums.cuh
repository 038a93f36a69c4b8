/* cuda/sums.cuh: two sums over the threads of a row at the price of one barrier. */
#ifndef KERNMILL_LAYERNORM_SUMS_CUH
#define KERNMILL_LAYERNORM_SUMS_CUH

#include <kernmill/row.cuh>

/* As sum_over_row of each, in the same order; `shared` has two floats for each warp. */
__device__ __forceinline__ void sums_over_row(float (&v)[2], int threads, float2 *shared)
{
    const int width = threads < 32 ? threads : 32;

    v[0] = sum_over_lanes(v[0], width);
    v[1] = sum_over_lanes(v[1], width);
    if (threads > 32) {
        const int warps = threads / 32, warp = threadIdx.x / 32, first = warp / warps * warps;
        if (threadIdx.x % 32 == 0)
            shared[warp] = make_float2(v[0], v[1]);
        __syncthreads();
        v[0] = v[1] = 0;
#pragma unroll
        for (int i = 0; i < warps; i++) {
            const float2 other = shared[first + i];
            v[0] += other.x;
            v[1] += other.y;
        }
    }
}

#endif
