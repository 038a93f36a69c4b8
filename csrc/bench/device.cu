// bench/device.cu: what the harness itself runs on a GPU: values for inputs, checks of results, and
// the yardsticks that times are held against. Compiled at run time for the GPU at hand; needs no
// header. Each thread takes elements a grid apart, so any launch covers any count.
//
// dtype: the codes of kernmill/tensor.h, which bench/gpu.c passes as KM_FLOAT64, ... options.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define FOR_EACH(i, n)                                                                             \
    for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < (n);                              \
         i += gridDim.x * (u64)blockDim.x)

static __device__ u64 mix(u64 z) // splitmix64's finaliser
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static __device__ double unit(u64 seed, u64 i) // uniform in [0, 1), a function of both
{
    return (mix(seed + (i + 1) * 0x9e3779b97f4a7c15) >> 11) * 0x1p-53;
}

static __device__ u16 half_bits(float v)
{
    u16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(v));
    return h;
}

static __device__ float half_value(u16 h)
{
    float v;
    asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(h));
    return v;
}

static __device__ u16 bfloat_bits(float v)
{
    u32 b = __float_as_uint(v);
    return v != v ? 0x7fc0 : (u16)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

static __device__ void store(void *out, u64 i, int dtype, double v)
{
    switch (dtype) {
    case KM_FLOAT64:
        ((double *)out)[i] = v;
        break;
    case KM_FLOAT32:
        ((float *)out)[i] = (float)v;
        break;
    case KM_FLOAT16:
        ((u16 *)out)[i] = half_bits((float)v);
        break;
    case KM_BFLOAT16:
        ((u16 *)out)[i] = bfloat_bits((float)v);
        break;
    case KM_INT64:
        ((long long *)out)[i] = (long long)v;
        break;
    case KM_INT32:
        ((int *)out)[i] = (int)v;
        break;
    case KM_INT16:
        ((short *)out)[i] = (short)v;
        break;
    case KM_INT8:
        ((signed char *)out)[i] = (signed char)v;
        break;
    case KM_UINT8:
        ((u8 *)out)[i] = (u8)v;
        break;
    case KM_BOOL:
        ((u8 *)out)[i] = v != 0;
        break;
    }
}

static __device__ double load(const void *in, u64 i, int dtype)
{
    switch (dtype) {
    case KM_FLOAT64:
        return ((const double *)in)[i];
    case KM_FLOAT32:
        return ((const float *)in)[i];
    case KM_FLOAT16:
        return half_value(((const u16 *)in)[i]);
    case KM_BFLOAT16:
        return __uint_as_float((u32)((const u16 *)in)[i] << 16);
    case KM_INT64:
        return (double)((const long long *)in)[i];
    case KM_INT32:
        return ((const int *)in)[i];
    case KM_INT16:
        return ((const short *)in)[i];
    case KM_INT8:
        return ((const signed char *)in)[i];
    default:
        return ((const u8 *)in)[i];
    }
}

// Values of a distribution: 0 normal (mean low, deviation high), 1 uniform, 2 whole numbers.
extern "C" __global__ void km_fill(void *out, u64 count, int dtype, int kind, double low,
                                   double high, u64 seed)
{
    FOR_EACH(i, count)
    {
        double v, u = unit(seed, 2 * i);
        if (kind == 0)
            v = low + high * (double)(sqrtf(-2 * logf((float)(1 - u) + 1e-30f)) *
                                      cospif(2 * (float)unit(seed, 2 * i + 1)));
        else if (kind == 1)
            v = low + (high - low) * u;
        else
            v = ceil(low) + floor(u * (floor(high) - ceil(low) + 1));
        store(out, i, dtype, v);
    }
}

extern "C" __global__ void km_widen(double *out, const void *in, u64 count, int dtype)
{
    FOR_EACH(i, count) out[i] = load(in, i, dtype);
}

// Adds the squares of the finite values to *sum.
extern "C" __global__ void km_squares(double *sum, const double *in, u64 count)
{
    double s = 0;
    FOR_EACH(i, count) s += isfinite(in[i]) ? in[i] * in[i] : 0;
    for (int lane = 16; lane; lane /= 2)
        s += __shfl_xor_sync(~0u, s, lane);
    if (threadIdx.x % 32 == 0)
        atomicAdd(sum, s);
}

// The largest error in units in the last place (bench/verify.h), as the bits of a double, which
// order as the numbers do; *sum: of the reference's squares.
extern "C" __global__ void km_compare(u64 *worst, const void *got, const double *want, u64 count,
                                      int dtype, double epsilon, const double *sum)
{
    double scale = sqrt(*sum / (double)count), most = 0;
    FOR_EACH(i, count)
    {
        double g = load(got, i, dtype), w = want[i], e;
        if (g == w || (isnan(g) && isnan(w)))
            e = 0;
        else if (!isfinite(g) || !isfinite(w) || epsilon == 0)
            e = __longlong_as_double(0x7ff0000000000000);
        else
            e = fabs(g - w) / (epsilon * fmax(fabs(w), scale));
        most = fmax(most, e);
    }
    for (int lane = 16; lane; lane /= 2)
        most = fmax(most, __shfl_xor_sync(~0u, most, lane));
    if (threadIdx.x % 32 == 0 && most > 0)
        atomicMax(worst, (u64)__double_as_longlong(most));
}

// Adds to *sum a number that changes with any byte.
extern "C" __global__ void km_hash(u64 *sum, const u8 *in, u64 bytes)
{
    u64 s = 0;
    FOR_EACH(i, (bytes + 7) / 8)
    {
        u64 word = 0;
        if (i * 8 + 8 <= bytes)
            word = ((const u64 *)in)[i];
        else
            for (u64 j = i * 8; j < bytes; j++)
                word = word << 8 | in[j];
        s += mix(word ^ mix(i + 1));
    }
    for (int lane = 16; lane; lane /= 2)
        s += __shfl_xor_sync(~0u, s, lane);
    if (threadIdx.x % 32 == 0)
        atomicAdd(sum, s);
}

// ---- yardsticks ----

static __device__ void wait_for_predecessor()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

static __device__ void let_successor_start()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

static __device__ void prefetch(const void *p, u32 bytes)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(p), "r"(bytes) : "memory");
#endif
}

static __device__ uint4 load_coherent(const uint4 *p)
{
    uint4 v;
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p)
                 : "memory");
    return v;
}

// Copies vectors of 16 bytes, V a thread, a tile of V * blockDim vectors a block. With a weight,
// each thread also loads a vector of it for each that it copies, as a row-wise operator does with a
// row a block; mask is 0, so that what is written remains a copy.
template <int V>
static __device__ void copy(uint4 *out, const uint4 *in, u32 count, const uint4 *weight,
                            u32 weight_count, u32 mask, int ahead, int streaming)
{
    u32 tile = blockIdx.x * blockDim.x * V, at = tile + threadIdx.x;
    uint4 v[V], w[V];

    let_successor_start();
    if (ahead && threadIdx.x == 0) {
        u32 n = count - tile < blockDim.x * V ? count - tile : blockDim.x * V;
        prefetch(in + tile, n * 16);
        if (blockIdx.x == 0 && weight_count)
            prefetch(weight, weight_count * 16 < 32768 ? weight_count * 16 : 32768);
    }
    wait_for_predecessor();
#pragma unroll
    for (int i = 0; i < V; i++)
        if (at + i * blockDim.x < count) {
            v[i] = load_coherent(in + at + i * blockDim.x);
            u32 k = threadIdx.x + i * blockDim.x;
            w[i] = k < weight_count ? load_coherent(weight + k) : v[i];
        }
#pragma unroll
    for (int i = 0; i < V; i++)
        if (at + i * blockDim.x < count) {
            v[i].x ^= w[i].x & mask;
            v[i].y ^= w[i].y & mask;
            v[i].z ^= w[i].z & mask;
            v[i].w ^= w[i].w & mask;
            if (streaming)
                __stcs(out + at + i * blockDim.x, v[i]);
            else
                out[at + i * blockDim.x] = v[i];
        }
}

#define COPY(V)                                                                                    \
    extern "C" __global__ void km_copy##V(uint4 *out, const uint4 *in, u32 count,                  \
                                          const uint4 *weight, u32 weight_count, u32 mask,         \
                                          int ahead, int streaming)                                \
    {                                                                                              \
        copy<V>(out, in, count, weight, weight_count, mask, ahead, streaming);                     \
    }
COPY(1)
COPY(2)
COPY(4)

extern "C" __global__ void km_empty(int early)
{
    if (early)
        let_successor_start();
    wait_for_predecessor();
}

// Brings copies back to what they are of: `blocks` blocks a set, sets one after another.
extern "C" __global__ void km_refresh(uint4 *to, const uint4 *from, u64 count, u64 to_step,
                                      u64 from_step, u32 blocks)
{
    u32 set = blockIdx.x / blocks;
    to += set * to_step;
    from += set * from_step;
    for (u64 i = blockIdx.x % blocks * (u64)blockDim.x + threadIdx.x; i < count;
         i += blocks * (u64)blockDim.x)
        to[i] = from[i];
}

// The predecessor of a call in a chain: writes all of its inputs.
struct parts {
    uint4 *to[8];
    const uint4 *from[8];
    u64 count[8];
};

extern "C" __global__ void km_write(const __grid_constant__ struct parts p)
{
    let_successor_start();
    wait_for_predecessor();
#pragma unroll
    for (int k = 0; k < 8; k++)
        FOR_EACH(i, p.count[k]) p.to[k][i] = load_coherent(p.from[k] + i);
}
