#include "bench/dtype.h"

#include <math.h>
#include <string.h>

#include <kernmill/tensor.h>

int km_dtype_named(const char *name)
{
    for (int d = 1; d < KM_DTYPE_COUNT; d++)
        if (d != KM_FLOAT8_E4M3FN && d != KM_FLOAT8_E5M2 &&
            strcmp(km_dtype_name((km_dtype)d), name) == 0)
            return d;
    return KM_DTYPE_UNKNOWN;
}

double km_dtype_epsilon(int dtype)
{
    switch (dtype) {
    case KM_FLOAT64:
        return 0x1p-52;
    case KM_FLOAT32:
        return 0x1p-23;
    case KM_FLOAT16:
        return 0x1p-10;
    case KM_BFLOAT16:
        return 0x1p-7;
    default:
        return 0;
    }
}

/* Rounds to `bits` of fraction behind the leading one, with exponents from `least` on; what is
 * below is subnormal, what is beyond `most` an infinity. */
static double round_to(double value, int bits, int least, double most)
{
    int exponent;
    double step;

    if (!isfinite(value) || value == 0)
        return value;
    frexp(value, &exponent); /* |value| in [2^(exponent-1), 2^exponent) */
    exponent = exponent - 1 < least ? least : exponent - 1;
    step = ldexp(1, exponent - bits);
    value = nearbyint(value / step) * step; /* the division is by a power of two: exact */
    return fabs(value) > most ? copysign(INFINITY, value) : value;
}

static uint16_t to_half(double value)
{
    double r = round_to(value, 10, -14, 65504);
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    int exponent;

    if (isnan(r))
        return sign | 0x7e00;
    if (isinf(r))
        return sign | 0x7c00;
    r = fabs(r);
    if (r < 0x1p-14)
        return (uint16_t)(sign | (uint16_t)(r * 0x1p24));
    frexp(r, &exponent);
    return (uint16_t)(sign | (exponent + 14) << 10 | ((uint16_t)ldexp(r, 11 - exponent) & 0x3ff));
}

static double from_half(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 0x3ff;
    double value = exponent == 31 ? (fraction ? NAN : INFINITY)
                   : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                  : ldexp(fraction, -24);

    return h >> 15 ? -value : value;
}

/* From the double at once: by way of float it would be rounded twice. */
static uint16_t to_bfloat(double value)
{
    float f = (float)round_to(value, 7, -126, 0x1.fep127);
    uint32_t bits;

    if (isnan(f))
        return 0x7fc0;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static double from_bfloat(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

#define EACH(type, expression)                                                                     \
    do {                                                                                           \
        for (size_t i = 0; i < count; i++) {                                                       \
            type v = ((const type *)from)[i];                                                      \
            to[i] = expression;                                                                    \
        }                                                                                          \
        return;                                                                                    \
    } while (0)

void km_dtype_widen(int dtype, const void *from, double *to, size_t count)
{
    switch (dtype) {
    case KM_FLOAT64:
        EACH(double, v);
    case KM_FLOAT32:
        EACH(float, v);
    case KM_FLOAT16:
        EACH(uint16_t, from_half(v));
    case KM_BFLOAT16:
        EACH(uint16_t, from_bfloat(v));
    case KM_INT64:
        EACH(int64_t, (double)v);
    case KM_INT32:
        EACH(int32_t, v);
    case KM_INT16:
        EACH(int16_t, v);
    case KM_INT8:
        EACH(int8_t, v);
    case KM_UINT8:
    case KM_BOOL:
        EACH(uint8_t, v);
    default:
        memset(to, 0, count * sizeof *to);
    }
}

#undef EACH
#define EACH(type, expression)                                                                     \
    do {                                                                                           \
        for (size_t i = 0; i < count; i++) {                                                       \
            double v = from[i];                                                                    \
            ((type *)to)[i] = (type)(expression);                                                  \
        }                                                                                          \
        return;                                                                                    \
    } while (0)

void km_dtype_narrow(int dtype, const double *from, void *to, size_t count)
{
    switch (dtype) {
    case KM_FLOAT64:
        EACH(double, v);
    case KM_FLOAT32:
        EACH(float, v);
    case KM_FLOAT16:
        EACH(uint16_t, to_half(v));
    case KM_BFLOAT16:
        EACH(uint16_t, to_bfloat(v));
    case KM_INT64:
        EACH(int64_t, v);
    case KM_INT32:
        EACH(int32_t, v);
    case KM_INT16:
        EACH(int16_t, v);
    case KM_INT8:
        EACH(int8_t, v);
    case KM_UINT8:
        EACH(uint8_t, v);
    case KM_BOOL:
        EACH(uint8_t, v != 0);
    default:
        return;
    }
}
