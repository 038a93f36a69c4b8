/* kernmill/row.cuh: for device code: what kernels over rows share: programmatic launch, and sums
 * over the threads of a row, whose order is a function of the row's length alone.
 */
#ifndef KERNMILL_ROW_CUH
#define KERNMILL_ROW_CUH

/* Programmatic launch: nothing of the preceding kernel may be touched before the wait. */
__device__ __forceinline__ void wait_for_predecessor()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void let_successor_start()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* A hint that may come before the wait: `p` is a multiple of 16, and `bytes` is rounded down to
 * whole 16 bytes. */
__device__ __forceinline__ void prefetch_l2(const void *p, long long bytes)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(p), "r"((int)(bytes & ~15LL))
                 : "memory");
#endif
}

/* 1 / sqrt(v), at most one place off. */
__device__ __forceinline__ float inverse_root(float v)
{
    const float r = rsqrtf(v);

    /* rsqrtf may be two places off; a Newton step makes that one. It has no answer at infinity. */
    return v < __int_as_float(0x7f800000)
               ? __fmaf_rn(0.5f * r, __fmaf_rn(__fmul_rn(-v, r), r, 1.0f), r)
               : r;
}

/* The sum over a warp's aligned groups of `width` lanes, the same bits in each: a butterfly. */
__device__ __forceinline__ float sum_over_lanes(float v, int width)
{
#pragma unroll
    for (int mask = 16; mask; mask /= 2)
        if (mask < width)
            v += __shfl_xor_sync(0xffffffff, v, mask);
    return v;
}

/* The sum over the `threads` threads that share a row, the same bits in each of them: a butterfly
 * in each warp, then the warps in order. `threads` is a power of two, and the block's threads are a
 * multiple of it; all of them take part. `shared` has a float for each warp. */
__device__ __forceinline__ float sum_over_row(float v, int threads, float *shared)
{
    v = sum_over_lanes(v, threads < 32 ? threads : 32);
    if (threads > 32) {
        const int warps = threads / 32, warp = threadIdx.x / 32, first = warp / warps * warps;
        if (threadIdx.x % 32 == 0)
            shared[warp] = v;
        __syncthreads();
        v = 0;
#pragma unroll
        for (int i = 0; i < warps; i++)
            v += shared[first + i];
    }
    return v;
}

#endif
