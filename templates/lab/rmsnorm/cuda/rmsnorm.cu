/* ROWS rows a block, one after the other; each is read twice, the second time from the cache.
 *
 * Bytes:  8 an element (x read once from memory, y written once); weight stays in L2.
 * Bound:  memory, when THREADS and VECTORS keep enough of it on its way.
 */
#include "../params.h"

#define WARP 32

__device__ float block_sum(float value)
{
    __shared__ float part[THREADS / WARP];

    for (int step = WARP / 2; step; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    if (threadIdx.x % WARP == 0)
        part[threadIdx.x / WARP] = value;
    __syncthreads();
    value = 0;
    for (int i = 0; i < THREADS / WARP; i++)
        value += part[i];
    __syncthreads();
    return value;
}

__device__ float sum_of_squares(const float4 *x, int vectors)
{
    float sum = 0;

    for (int i = threadIdx.x; i < vectors; i += THREADS * VECTORS) {
        float4 v[VECTORS];
#pragma unroll
        for (int k = 0; k < VECTORS; k++)
            v[k] = i + k * THREADS < vectors ? x[i + k * THREADS] : make_float4(0, 0, 0, 0);
#pragma unroll
        for (int k = 0; k < VECTORS; k++)
            sum += v[k].x * v[k].x + v[k].y * v[k].y + v[k].z * v[k].z + v[k].w * v[k].w;
    }
    return block_sum(sum);
}

__device__ void ask_for(const float4 *x, int vectors)
{
    for (int i = threadIdx.x; i < vectors; i += THREADS)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(x + i));
}

extern "C" __global__ void rmsnorm_rows(float4 *y, const float4 *x, const float4 *weight,
                                        long long rows, int vectors, float eps)
{
    for (int r = 0; r < ROWS; r++) {
        long long row = (long long)blockIdx.x * ROWS + r;
        const float4 *from = x + row * vectors;
        if (row >= rows)
            return;
        float scale = rsqrtf(sum_of_squares(from, vectors) / (4.0f * vectors) + eps);
        if (PREFETCH && r + 1 < ROWS && row + 1 < rows)
            ask_for(from + vectors, vectors);
        for (int i = threadIdx.x; i < vectors; i += THREADS) {
            float4 v = from[i], w = weight[i];
            y[row * vectors + i] = make_float4(v.x * scale * w.x, v.y * scale * w.y,
                                               v.z * scale * w.z, v.w * scale * w.w);
        }
    }
}
