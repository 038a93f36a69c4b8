/* cpu/vec.h: eight floats at a time, from and to float32, float16 and bfloat16.
 *
 * Written with the compilers' vector types, so that one source becomes SSE2, AVX2 or NEON code with
 * the same bits: conversions round to nearest even in integer arithmetic, and nothing contracts.
 * Included once for each instruction set, with KM_ISA naming it and KM_TARGET selecting it.
 */
#define VEC_CONCAT_(name, isa) name##_##isa
#define VEC_CONCAT(name, isa)  VEC_CONCAT_(name, isa)
#define ISA(name)              VEC_CONCAT(name, KM_ISA)
#define VEC_FN                 static inline __attribute__((always_inline)) KM_TARGET

#ifndef KERNMILL_RMSNORM_VEC_TYPES
#define KERNMILL_RMSNORM_VEC_TYPES
#define VEC_LANES 8
typedef float vec __attribute__((vector_size(32)));
typedef uint32_t vec_u32 __attribute__((vector_size(32)));
typedef int32_t vec_i32 __attribute__((vector_size(32)));
typedef uint16_t vec_u16 __attribute__((vector_size(16)));

/* The bits of `a` where `mask` is set, else those of `b`. */
#define VEC_SELECT(mask, a, b) (((a) & (vec_u32)(mask)) | ((b) & ~(vec_u32)(mask)))
#endif

VEC_FN void ISA(from_bfloat16)(vec *out, const vec_u16 *h)
{
    *out = (vec)(__builtin_convertvector(*h, vec_u32) << 16);
}

VEC_FN void ISA(to_bfloat16)(vec_u16 *out, const vec *f)
{
    vec_u32 u = (vec_u32)*f, nan = (u >> 16) | 0x40;
    vec_u32 rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;

    rounded = VEC_SELECT((vec_i32)(u & 0x7fffffff) > 0x7f800000, nan, rounded);
    *out = __builtin_convertvector(rounded, vec_u16);
}

/* Exponents are moved by a multiplication with 2^112, which also makes subnormals normal. */
VEC_FN void ISA(from_float16)(vec *out, const vec_u16 *h)
{
    vec_u32 u = __builtin_convertvector(*h, vec_u32), sign = (u & 0x8000) << 16;
    vec_u32 magnitude = (u & 0x7fff) << 13, special = magnitude | 0x7f800000;
    vec_u32 scaled = (vec_u32)((vec)magnitude * 0x1p112f);

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
    normal = VEC_SELECT((vec_i32)a > 0x7f800000, nan, normal);
    *out = __builtin_convertvector(normal | sign, vec_u16);
}

/* Elements `at` and up of a row: eight, or the `n` that are left, the others 0. */
VEC_FN void ISA(load)(vec *out, km_dtype dtype, const void *row, int64_t at, int64_t n)
{
    vec_u16 half = { 0 };
    vec full = { 0 };

    if (dtype == KM_FLOAT32) {
        const float *p = (const float *)row + at;
        if (n >= VEC_LANES)
            memcpy(&full, p, sizeof full);
        for (int64_t k = 0; n < VEC_LANES && k < n; k++)
            full[k] = p[k];
        *out = full;
        return;
    }
    const uint16_t *p = (const uint16_t *)row + at;
    if (n >= VEC_LANES)
        memcpy(&half, p, sizeof half);
    for (int64_t k = 0; n < VEC_LANES && k < n; k++)
        half[k] = p[k];
    if (dtype == KM_BFLOAT16)
        ISA(from_bfloat16)(out, &half);
    else
        ISA(from_float16)(out, &half);
}

VEC_FN void ISA(store)(km_dtype dtype, void *row, int64_t at, int64_t n, const vec *v)
{
    vec_u16 half;

    if (dtype == KM_FLOAT32) {
        float *p = (float *)row + at;
        if (n >= VEC_LANES)
            memcpy(p, v, sizeof *v);
        for (int64_t k = 0; n < VEC_LANES && k < n; k++)
            p[k] = (*v)[k];
        return;
    }
    uint16_t *p = (uint16_t *)row + at;
    if (dtype == KM_BFLOAT16)
        ISA(to_bfloat16)(&half, v);
    else
        ISA(to_float16)(&half, v);
    if (n >= VEC_LANES)
        memcpy(p, &half, sizeof half);
    for (int64_t k = 0; n < VEC_LANES && k < n; k++)
        p[k] = half[k];
}

/* *v rounded to the dtype and back. */
VEC_FN void ISA(round_to)(vec *v, km_dtype dtype)
{
    vec_u16 half;

    if (dtype == KM_BFLOAT16) {
        ISA(to_bfloat16)(&half, v);
        ISA(from_bfloat16)(v, &half);
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
