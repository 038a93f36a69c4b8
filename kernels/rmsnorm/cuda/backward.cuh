/* cuda/backward.cuh: the backward's arithmetic, the same in every kernel. */
#ifndef KERNMILL_RMSNORM_BACKWARD_CUH
#define KERNMILL_RMSNORM_BACKWARD_CUH

#include <kernmill/row.cuh>
#include <kernmill/vec.cuh>

#include "rmsnorm_args.h"

template <class T, int N>
__device__ __forceinline__ void accumulate(float (&dw)[N], const float (&dy)[N],
                                           const float (&n)[N], bool round_normalized)
{
    float r[N];

#pragma unroll
    for (int k = 0; k < N; k++)
        r[k] = n[k];
    if (round_normalized)
        round_to<T>(r);
#pragma unroll
    for (int k = 0; k < N; k++)
        dw[k] = __fmaf_rn(dy[k], r[k], dw[k]);
}

template <int N>
__device__ __forceinline__ float dot(const float (&g)[N], const float (&n)[N], float total)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        total = __fmaf_rn(g[k], n[k], total);
    return total;
}

__device__ __forceinline__ float load_rstd(const rms_norm_backward_args &a, long long row)
{
    return row < a.rows ? *(const volatile float *)(a.rstd + row) : 0.0f;
}

/* dx of one vector, by g and n, but for the gradient of the sum. */
template <int N>
__device__ __forceinline__ void dx_of(float (&dx)[N], const float (&g)[N], const float (&n)[N],
                                      float rstd, float mean)
{
#pragma unroll
    for (int k = 0; k < N; k++)
        dx[k] = __fmul_rn(__fmaf_rn(-n[k], mean, g[k]), rstd);
}

/* Once the groups of a block have written their partial sums: adds them in order, into the first
 * one's, so that few are left to add. */
__device__ __forceinline__ void fold_groups(const rms_norm_backward_args &a, int groups)
{
    float *first = a.partials + (long long)blockIdx.x * groups * a.columns;

    if (groups == 1)
        return;
    __syncthreads();
    for (long long column = threadIdx.x; column < a.columns; column += blockDim.x) {
        float total = 0;
        for (int i = 0; i < groups; i++)
            total += load_one(first + i * a.columns + column);
        first[column] = total;
    }
}

#endif
