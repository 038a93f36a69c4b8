// y = -x, honest and other; cheats_cuda.c says what each is for.

#include <kernmill/row.cuh>

typedef unsigned long long u64;

static __device__ long long here()
{
    return (long long)blockIdx.x * blockDim.x + threadIdx.x;
}

static __device__ float work(float x, int turns) // -x, as slowly as asked
{
    float v = x;
    for (int i = 0; i < turns; i++)
        v = __fmaf_rn(v, 1.0f, 0.0f) + (float)(v != v);
    return -v;
}

extern "C" __global__ void negate(float *y, const float *x, long long n)
{
    if (here() < n)
        y[here()] = -x[here()];
}

extern "C" __global__ void negate_early(float *y, const float *x, long long n)
{
    float v;
    let_successor_start();
    wait_for_predecessor();
    if (here() < n) {
        asm volatile("ld.global.f32 %0, [%1];" : "=f"(v) : "l"(x + here()) : "memory");
        y[here()] = -v;
    }
}

// Reads before it waits: the predecessor may still be writing.
extern "C" __global__ void negate_before(float *y, const float *x, long long n)
{
    let_successor_start();
    float v = here() < n ? x[here()] : 0;
    wait_for_predecessor();
    if (here() < n)
        y[here()] = -v;
}

extern "C" __global__ void negate_nan(float *y, const float *x, long long n)
{
    if (here() < n && y[here()] != y[here()])
        y[here()] = -x[here()];
}

extern "C" __global__ void negate_memo(float *y, const float *x, long long n, float *kept)
{
    long long i = here();
    if (i >= n)
        return;
    float v = x[i];
    if (kept[i] != v) { // kept[n + i] is its negative
        kept[n + i] = work(v, 4000);
        kept[i] = v;
    }
    y[i] = kept[n + i];
}

extern "C" __global__ void copy(float *y, const float *x, long long n)
{
    if (here() < n)
        y[here()] = x[here()];
}

__device__ u64 blocks_run;

extern "C" __global__ void negate_until(float *y, const float *x, long long n, u64 most)
{
    __shared__ u64 now;
    if (threadIdx.x == 0)
        now = atomicAdd(&blocks_run, 1);
    __syncthreads();
    if (here() < n && now < most)
        y[here()] = -x[here()];
}

extern "C" __global__ void negate_beside(float *y, float *x, long long n)
{
    if (here() < n)
        y[here()] = -x[here()];
    if (here() == n - 1)
        x[(n + 3) / 4 * 4] = 0;
}

extern "C" __global__ void negate_zeroes(float *y, float *x, long long n)
{
    if (here() < n)
        y[here()] = x[here()] = 0;
}

extern "C" __global__ void nothing(float *y, const float *x, long long n)
{
}

extern "C" __global__ void negate_coarse(float *y, const float *x, long long n)
{
    if (here() < n)
        y[here()] = -__uint_as_float((__float_as_uint(x[here()]) + 0x8000) & 0xffff0000);
}

struct entry {
    const float *x;
    float *y;
};

// The first, or the last, of a batch does the work of all of it.
extern "C" __global__ void negate_all(const struct entry *list, const u64 *end, u64 first,
                                      u64 index, long long n, int late)
{
    u64 last = *end;
    if (index != (late ? last - 1 : first))
        return;
    for (u64 k = first; k < last; k++)
        for (long long i = here(); i < n; i += gridDim.x * (long long)blockDim.x)
            list[k].y[i] = -list[k].x[i];
}

extern "C" __global__ void negate_spin(float *y, const float *x, long long n, long long cycles)
{
    long long start = clock64();
    if (here() < n)
        y[here()] = -x[here()];
    while (clock64() - start < cycles)
        ;
}

extern "C" __global__ void negate_slowly(float *y, const float *x, long long n)
{
    if (here() < n)
        y[here()] = work(x[here()], 200000);
}
