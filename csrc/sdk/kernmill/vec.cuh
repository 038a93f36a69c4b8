/* kernmill/vec.cuh: for device code: 16-byte vectors of float32, float16 and bfloat16, read and
 * written as floats.
 *
 * Loads are coherent (ld.global): under programmatic launch the compiler may move ld.global.nc
 * above griddepcontrol.wait. Rows that are not made of whole aligned vectors are moved element by
 * element, by the same thread, so that a row has the same bits on both paths.
 */
#ifndef KERNMILL_VEC_CUH
#define KERNMILL_VEC_CUH

struct half_t {
    unsigned short bits;
};
struct bfloat_t {
    unsigned short bits;
};

__device__ __forceinline__ float to_float(float v)
{
    return v;
}

__device__ __forceinline__ float to_float(half_t v)
{
    float f;

    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
    return f;
}

__device__ __forceinline__ float to_float(bfloat_t v)
{
    return __uint_as_float((unsigned)v.bits << 16);
}

/* Round to nearest even. */
__device__ __forceinline__ void from_float(float f, float &v)
{
    v = f;
}

__device__ __forceinline__ void from_float(float f, half_t &v)
{
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(v.bits) : "f"(f));
}

__device__ __forceinline__ void from_float(float f, bfloat_t &v)
{
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(v.bits) : "f"(f));
#else
    unsigned u = __float_as_uint(f);
    v.bits = (u & 0x7fffffff) > 0x7f800000 ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
#endif
}

/* A 32-bit word is one float or two halves, the first in the low bits. */
template <class T> struct word {
    static constexpr int elements = 4 / sizeof(T);
};

__device__ __forceinline__ void unpack(unsigned w, float *out, float)
{
    out[0] = __uint_as_float(w);
}

__device__ __forceinline__ void unpack(unsigned w, float *out, half_t)
{
    out[0] = to_float(half_t{ (unsigned short)w });
    out[1] = to_float(half_t{ (unsigned short)(w >> 16) });
}

__device__ __forceinline__ void unpack(unsigned w, float *out, bfloat_t)
{
    out[0] = __uint_as_float(w << 16);
    out[1] = __uint_as_float(w & 0xffff0000);
}

__device__ __forceinline__ unsigned pack(const float *in, float)
{
    return __float_as_uint(in[0]);
}

template <class T> __device__ __forceinline__ unsigned pack_each(const float *in)
{
    T low, high;

    from_float(in[0], low);
    from_float(in[1], high);
    return (unsigned)high.bits << 16 | low.bits;
}

__device__ __forceinline__ unsigned pack(const float *in, half_t)
{
#if __CUDA_ARCH__ >= 800
    unsigned w;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(in[1]), "f"(in[0]));
    return w;
#else
    return pack_each<half_t>(in);
#endif
}

__device__ __forceinline__ unsigned pack(const float *in, bfloat_t)
{
#if __CUDA_ARCH__ >= 800
    unsigned w;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(in[1]), "f"(in[0]));
    return w;
#else
    return pack_each<bfloat_t>(in);
#endif
}

/* How many elements of a type 16 bytes hold. */
template <class T> struct lanes {
    static constexpr int value = 16 / sizeof(T);
};

/* Each of the values rounded to T. */
template <class T, int N> __device__ __forceinline__ void round_to(float (&v)[N])
{
    if constexpr (sizeof(T) == 4)
        return;
    if constexpr (N == 1) {
        T rounded;
        from_float(v[0], rounded);
        v[0] = to_float(rounded);
    } else {
#pragma unroll
        for (int k = 0; k < N; k += word<T>::elements)
            unpack(pack(v + k, T{}), v + k, T{});
    }
}

__device__ __forceinline__ uint4 load_16(const void *p)
{
    uint4 v;

    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p)
                 : "memory");
    return v;
}

/* `streaming`: nobody reads it soon, and it leaves the caches first. */
__device__ __forceinline__ void store_16(void *p, uint4 v, bool streaming = false)
{
    if (streaming)
        asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y),
                     "r"(v.z), "r"(v.w)
                     : "memory");
    else
        asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y),
                     "r"(v.z), "r"(v.w)
                     : "memory");
}

template <class T> __device__ __forceinline__ T load_one(const T *p)
{
    T v;

    if constexpr (sizeof(T) == 4)
        asm volatile("ld.global.b32 %0, [%1];" : "=r"(*(unsigned *)&v) : "l"(p) : "memory");
    else
        asm volatile("ld.global.b16 %0, [%1];" : "=h"(*(unsigned short *)&v) : "l"(p) : "memory");
    return v;
}

/* N elements from an address: one, or those of 8 bytes or of one or two 16-byte vectors, at a
 * multiple of 8 or 16. */
template <class T, int N> __device__ __forceinline__ void load(float (&out)[N], const T *p)
{
    constexpr int E = word<T>::elements;

    if constexpr (N == 1) {
        out[0] = to_float(load_one(p));
    } else if constexpr (N * sizeof(T) == 8) {
        unsigned v[2];
        asm volatile("ld.global.v2.u32 {%0, %1}, [%2];"
                     : "=r"(v[0]), "=r"(v[1])
                     : "l"(p)
                     : "memory");
        unpack(v[0], out, T{});
        unpack(v[1], out + E, T{});
    } else {
#pragma unroll
        for (int i = 0; i < N; i += 4 * E) {
            const uint4 v = load_16(p + i);
            unpack(v.x, out + i, T{});
            unpack(v.y, out + i + E, T{});
            unpack(v.z, out + i + 2 * E, T{});
            unpack(v.w, out + i + 3 * E, T{});
        }
    }
}

template <class T, int N>
__device__ __forceinline__ void store(T *p, const float (&in)[N], bool streaming = false)
{
    constexpr int E = word<T>::elements;

    if constexpr (N == 1) {
        from_float(in[0], *p);
    } else {
#pragma unroll
        for (int i = 0; i < N; i += 4 * E)
            store_16(p + i,
                     make_uint4(pack(in + i, T{}), pack(in + i + E, T{}), pack(in + i + 2 * E, T{}),
                                pack(in + i + 3 * E, T{})),
                     streaming);
    }
}

/* The same of a vector that was loaded before. */
template <class T, int N>
__device__ __forceinline__ void unpack_16(float (&out)[N], const uint4 &v, T)
{
    constexpr int E = word<T>::elements;

    static_assert(N == lanes<T>::value, "a vector has 16 bytes");
    unpack(v.x, out, T{});
    unpack(v.y, out + E, T{});
    unpack(v.z, out + 2 * E, T{});
    unpack(v.w, out + 3 * E, T{});
}

/* A vector as it lies in memory, unpacked two elements at a time, so that few are held as floats.
 */
template <class T> struct __align__(16) packed {
    unsigned w[4];

    __device__ __forceinline__ void load(const T *p)
    {
        const uint4 v = load_16(p);

        w[0] = v.x;
        w[1] = v.y;
        w[2] = v.z;
        w[3] = v.w;
    }

    __device__ __forceinline__ void store(T *p, bool streaming) const
    {
        store_16(p, make_uint4(w[0], w[1], w[2], w[3]), streaming);
    }

    /* Two elements from an even one. */
    __device__ __forceinline__ void get(float (&out)[2], int k) const
    {
        unpack(w[k * sizeof(T) / 4], out, T{});
        if constexpr (sizeof(T) == 4)
            unpack(w[k + 1], out + 1, T{});
    }

    __device__ __forceinline__ void put(int k, const float (&in)[2])
    {
        w[k * sizeof(T) / 4] = pack(in, T{});
        if constexpr (sizeof(T) == 4)
            w[k + 1] = pack(in + 1, T{});
    }

    __device__ __forceinline__ void fill(float v)
    {
        const float both[2] = { v, v };

#pragma unroll
        for (int k = 0; k < lanes<T>::value; k += 2)
            put(k, both);
    }

    /* From here on the compiler has the words alone, not what was unpacked of them. */
    __device__ __forceinline__ void forget_floats()
    {
        asm volatile("" : "+r"(w[0]), "+r"(w[1]), "+r"(w[2]), "+r"(w[3]));
    }
};

/* N elements of a weight of T or float32. */
template <class T, int N>
__device__ __forceinline__ void load_weight(float (&out)[N], const void *weight, int is_float,
                                            long long at)
{
    if (sizeof(T) == sizeof(float) || is_float)
        load(out, (const float *)weight + at);
    else
        load(out, (const T *)weight + at);
}

#endif
