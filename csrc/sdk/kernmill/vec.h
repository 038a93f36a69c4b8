/* kernmill/vec.h: for CPU code: eight floats at a time, from and to float32, float16 and bfloat16.
 *
 * Written with the compilers' vector types, so that one source becomes SSE2, AVX2 or NEON code with
 * the same bits (NaN payloads aside): conversions round to nearest even, and nothing contracts.
 * Included once for each instruction set, after kernmill/isa.h, with KM_ISA naming it, KM_TARGET
 * selecting it, and KM_AVX2 where AVX2 and F16C may be used; ISA(name) is a name of its own in
 * each. Without KM_ISA it declares the types alone.
 */
#include <string.h>

#include "kernmill/tensor.h"

#ifndef KERNMILL_VEC_TYPES
#define KERNMILL_VEC_TYPES
#define VEC_CONCAT_(name, isa) name##_##isa
#define VEC_CONCAT(name, isa)  VEC_CONCAT_(name, isa)
#define ISA(name)              VEC_CONCAT(name, KM_ISA)
#define VEC_FN                 static inline __attribute__((always_inline)) KM_TARGET
#define VEC_LANES              8
typedef float vec __attribute__((vector_size(32)));
typedef uint32_t vec_u32 __attribute__((vector_size(32)));
typedef int32_t vec_i32 __attribute__((vector_size(32)));
typedef uint16_t vec_u16 __attribute__((vector_size(16)));
typedef uint16_t vec_halves __attribute__((vector_size(32))); /* the halves of a vec_u32 */

/* The bits of `a` where `mask` is set, else those of `b`. */
#define VEC_SELECT(mask, a, b) (((a) & (vec_u32)(mask)) | ((b) & ~(vec_u32)(mask)))
#endif

#ifdef KM_ISA

/* Sixteen bits to 32, and the low (of values below 2^16) back; the lesser and the greater, which is
 * b where a is a NaN; `yes` where the sign of `by` is set. Written out for AVX2, where gcc 12 makes
 * three to five instructions of each instead of one to three. */
#ifdef KM_AVX2
VEC_FN void ISA(widen)(vec_u32 *out, const vec_u16 *h)
{
    *out = (vec_u32)_mm256_cvtepu16_epi32((__m128i)*h);
}

VEC_FN void ISA(narrow)(vec_u16 *out, const vec_u32 *u)
{
    __m256i v = (__m256i)*u;

    *out = (vec_u16)_mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

VEC_FN void ISA(lesser)(vec *out, const vec *a, const vec *b)
{
    *out = (vec)_mm256_min_ps((__m256)*a, (__m256)*b);
}

VEC_FN void ISA(greater)(vec *out, const vec *a, const vec *b)
{
    *out = (vec)_mm256_max_ps((__m256)*a, (__m256)*b);
}

VEC_FN void ISA(by_sign)(vec *out, const vec *by, const vec *yes, const vec *no)
{
    *out = (vec)_mm256_blendv_ps((__m256)*no, (__m256)*yes, (__m256)*by);
}
#else
VEC_FN void ISA(widen)(vec_u32 *out, const vec_u16 *h)
{
    *out = __builtin_convertvector(*h, vec_u32);
}

VEC_FN void ISA(narrow)(vec_u16 *out, const vec_u32 *u)
{
    vec_halves h = (vec_halves)*u;

    *out = __builtin_shufflevector(h, h, 0, 2, 4, 6, 8, 10, 12, 14);
}

VEC_FN void ISA(lesser)(vec *out, const vec *a, const vec *b)
{
    *out = (vec)VEC_SELECT(*a < *b, (vec_u32)*a, (vec_u32)*b);
}

VEC_FN void ISA(greater)(vec *out, const vec *a, const vec *b)
{
    *out = (vec)VEC_SELECT(*a > *b, (vec_u32)*a, (vec_u32)*b);
}

VEC_FN void ISA(by_sign)(vec *out, const vec *by, const vec *yes, const vec *no)
{
    *out = (vec)VEC_SELECT((vec_i32)*by >> 31, (vec_u32)*yes, (vec_u32)*no);
}
#endif

VEC_FN void ISA(from_bfloat16)(vec *out, const vec_u16 *h)
{
    vec_u32 u;

    ISA(widen)(&u, h);
    *out = (vec)(u << 16);
}

/* The upper halves hold the rounded values; the lower ones are not cleared. A NaN gets all bits: a
 * carry would make a number of some. */
VEC_FN void ISA(round_bfloat16)(vec_u32 *out, const vec *f)
{
    vec_u32 u = (vec_u32)*f;

    *out = (u + (((u >> 16) & 1) + 0x7fff)) | (vec_u32)(*f != *f);
}

VEC_FN void ISA(to_bfloat16)(vec_u16 *out, const vec *f)
{
    vec_u32 rounded;

    ISA(round_bfloat16)(&rounded, f);
    rounded >>= 16;
    ISA(narrow)(out, &rounded);
}

#ifdef KM_AVX2 /* F16C: the same values, ten times as fast as integer arithmetic */
VEC_FN void ISA(from_float16)(vec *out, const vec_u16 *h)
{
    *out = (vec)_mm256_cvtph_ps((__m128i)*h);
}

VEC_FN void ISA(to_float16)(vec_u16 *out, const vec *f)
{
    *out = (vec_u16)_mm256_cvtps_ph((__m256)*f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
#else
/* Exponents are moved by a multiplication with 2^112, which also makes subnormals normal. */
VEC_FN void ISA(from_float16)(vec *out, const vec_u16 *h)
{
    vec_u32 u, sign, magnitude, special, scaled;

    ISA(widen)(&u, h);
    sign = (u & 0x8000) << 16;
    magnitude = (u & 0x7fff) << 13;
    special = magnitude | 0x7f800000;
    scaled = (vec_u32)((vec)magnitude * 0x1p112f);
    scaled = VEC_SELECT((vec_i32)magnitude >= 0x0f800000, special, scaled);
    *out = (vec)(scaled | sign);
}

VEC_FN void ISA(to_float16)(vec_u16 *out, const vec *f)
{
    vec_u32 u = (vec_u32)*f, sign = (u >> 16) & 0x8000, a = u & 0x7fffffff;
    vec_u32 normal = (a - (112u << 23) + 0xfff + ((a >> 13) & 1)) >> 13;
    vec_u32 subnormal = (vec_u32)((vec)a + 0.5f) - 0x3f000000; /* the adder rounds at 2^-24 */
    vec_u32 infinite = (a & 0) + 0x7c00, nan = infinite | 0x200;

    normal = VEC_SELECT((vec_i32)a < 0x38800000, subnormal, normal);
    normal = VEC_SELECT((vec_i32)a >= 0x477ff000, infinite, normal);
    normal = VEC_SELECT((vec_i32)a > 0x7f800000, nan, normal) | sign;
    ISA(narrow)(out, &normal);
}
#endif

/* Elements `at` and up of a row, as floats: a whole vector, or with `n` below VEC_LANES the `n`
 * that are left, the others 0. `n` is a constant in the loops that matter. */
VEC_FN void ISA(load)(vec *out, km_dtype dtype, const void *row, int64_t at, int64_t n)
{
    size_t size = dtype == KM_FLOAT32 ? sizeof(float) : sizeof(uint16_t);
    const char *from = (const char *)row + (size_t)at * size;
    vec_u16 half = { 0 };
    vec full = { 0 };

    if (dtype == KM_FLOAT32) {
        memcpy(&full, from, (size_t)n * size);
        *out = full;
        return;
    }
    memcpy(&half, from, (size_t)n * size);
    if (dtype == KM_BFLOAT16)
        ISA(from_bfloat16)(out, &half);
    else
        ISA(from_float16)(out, &half);
}

VEC_FN void ISA(store)(km_dtype dtype, void *row, int64_t at, int64_t n, const vec *v)
{
    size_t size = dtype == KM_FLOAT32 ? sizeof(float) : sizeof(uint16_t);
    char *to = (char *)row + (size_t)at * size;
    vec_u16 half;

    if (dtype == KM_FLOAT32) {
        memcpy(to, v, (size_t)n * size);
        return;
    }
    if (dtype == KM_BFLOAT16)
        ISA(to_bfloat16)(&half, v);
    else
        ISA(to_float16)(&half, v);
    memcpy(to, &half, (size_t)n * size);
}

/* *v rounded to the dtype and back. */
VEC_FN void ISA(round_to)(vec *v, km_dtype dtype)
{
    vec_u32 rounded;
    vec_u16 half;

    if (dtype == KM_BFLOAT16) {
        ISA(round_bfloat16)(&rounded, v);
        *v = (vec)(rounded & 0xffff0000);
    } else if (dtype == KM_FLOAT16) {
        ISA(to_float16)(&half, v);
        ISA(from_float16)(v, &half);
    }
}

/* The lanes added in a fixed tree. */
VEC_FN float ISA(add_lanes)(const vec *v)
{
    const vec a = *v;

    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

#endif
