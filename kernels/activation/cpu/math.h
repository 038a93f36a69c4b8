/* cpu/math.h: the activations on vectors of floats, compiled once for each instruction set
 * (kernmill/vec.h). No call of libm and no fused operations: the same bits on every level.
 */
#include <kernmill/vec.h>

#ifndef KERNMILL_ACTIVATION_CONSTANTS
#define KERNMILL_ACTIVATION_CONSTANTS
#define TANH_LINEAR 1.5957691216f  /* 2 * sqrt(2 / pi) */
#define TANH_CUBIC  0.07135481627f /* 0.044715 of it */
#define QUICK       1.702f
#define ALL(value)  ((vec){ 0 } + (value))

/* The polynomials are minimax ones, fitted for this file by Remez' exchange. */

/* (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2; exp's relative error is 3e-9, and for 16-bit types
 * 1e-7. */
static const float exp_terms[] = { 0.4999999404f, 0.1666651964f, 0.0416684076f, 0.0083689215f,
                                   0.0013814170f };
static const float exp_terms_16[] = { 0.4999923110f, 0.1666711569f, 0.0418903306f, 0.0083125010f };

/* exp(x^2 / 2) * Phi(-x) / t in t = 1 / (1 + 0.35 * x), for 0 <= x <= 16; relative error 4e-8.
 * Times 2^-64, since begin_normal's exponential is 2^64 too large. */
#define TAIL_SCALE 0.35f
#define TAIL_END   16.0f
#define TAIL       0x1p-64f
static const float tail_terms[] = { 0.13962124288f * TAIL,  0.13986453414f * TAIL,
                                    0.11981413513f * TAIL,  0.10558003187f * TAIL,
                                    -0.0232758559f * TAIL,  0.15940992534f * TAIL,
                                    -0.25591641665f * TAIL, 0.14406770468f * TAIL,
                                    -0.02916531637f * TAIL };
#define TERMS(list) ((int)(sizeof(list) / sizeof(list)[0]))
#define TERMS_MAX   10
#endif

/* By Estrin's scheme, whose longest chain is a half of Horner's: what is waited for here. */
VEC_FN void ISA(polynomial)(vec *out, const vec *x, const float *terms, int count)
{
    vec p[TERMS_MAX / 2], power = *x;
    int n = 0;

    for (int i = 0; i + 1 < count; i += 2)
        p[n++] = *x * terms[i + 1] + terms[i];
    if (count % 2)
        p[n++] = ALL(terms[count - 1]);
    for (; n > 1; n = (n + 1) / 2) {
        power *= power;
        for (int i = 0; i + 1 < n; i += 2)
            p[i / 2] = p[i + 1] * power + p[i];
        if (n % 2)
            p[n / 2] = p[n - 1];
    }
    *out = p[0];
}

/* An activation is computed in several loops over a few columns, which leave this of each vector
 * between them: a core that waits for one long chain a vector has few of them under way. */
typedef struct {
    vec e;     /* the remainder r, then exp(r) * scale */
    vec scale; /* a power of two */
    vec t;     /* gelu's: the variable of tail_terms, then times the polynomial */
} ISA(begun);

/* For exp(*high + *low) * 2^(bias - 127). The scale's exponent is written as it comes out: it must
 * be neither below 0 nor above 255, so |high| is bounded and never a NaN. Low, which is small, may
 * be NULL. log(2) in two parts (Cody and Waite, 1980); in one for 16-bit types. */
VEC_FN void ISA(begin_exp)(ISA(begun) * h, const vec *high, const vec *low, km_dtype dtype,
                           int bias)
{
    const vec magic = ALL(0x1.8p23f + (float)bias); /* makes integers of what is added to it */
    vec n = *high * 0x1.715476p0f + magic;

    h->scale = (vec)((vec_u32)n << 23);
    n -= magic;
    if (dtype != KM_FLOAT32) {
        h->e = *high - n * 0x1.62e43p-1f;
        return;
    }
    h->e = *high - n * 0x1.62e4p-1f;
    h->e += low ? *low - n * 0x1.7f7d1cp-20f : n * -0x1.7f7d1cp-20f;
}

/* The argument of the sigmoid, for the kinds that have one. */
VEC_FN void ISA(sigmoid_argument)(vec *z, const vec *x, act_kind kind)
{
    if (kind == ACT_GELU_TANH)
        *z = *x * (*x * *x * TANH_CUBIC + TANH_LINEAR);
    else
        *z = kind == ACT_QUICK_GELU ? *x * QUICK : *x;
}

/* silu and quick_gelu in float32 have a rounding less than by exp(-|z|), and give 0 where exp(-z)
 * overflows, as torch's do; gelu_tanh gets there at -10, and 16-bit types round anyway. */
static inline bool ISA(wants_half_exp)(km_dtype dtype, act_kind kind)
{
    return dtype == KM_FLOAT32 && (kind == ACT_SILU || kind == ACT_QUICK_GELU);
}

/* For exp(-z) / 2, infinite from z = -89.1 on, and 0 where it does not matter. */
VEC_FN void ISA(begin_half_exp)(ISA(begun) * h, const vec *z, km_dtype dtype)
{
    const vec least = ALL(-87.3f), most = ALL(89.4f);
    vec m = -*z;

    ISA(lesser)(&m, &m, &most);
    ISA(greater)(&m, &m, &least);
    ISA(begin_exp)(h, &m, NULL, dtype, 126);
}

/* For exp(-|z|) * 2^64: no overflow on either side, and right below 2^-126, too. */
VEC_FN void ISA(begin_decay)(ISA(begun) * h, const vec *z, km_dtype dtype)
{
    const vec end = ALL(-104.0f); /* its exp is 0 */
    vec m = (vec)((vec_u32)*z | 0x80000000);

    ISA(greater)(&m, &m, &end);
    ISA(begin_exp)(h, &m, NULL, dtype, 127 + 64);
}

/* For exp(-x^2 / 2) * 2^64, and the variable of tail_terms. */
VEC_FN void ISA(begin_normal)(ISA(begun) * h, const vec *x, km_dtype dtype)
{
    const vec end = ALL(TAIL_END);
    vec c = (vec)((vec_u32)*x & 0x7fffffff), high, low;

    ISA(lesser)(&c, &c, &end);
    high = (vec)((vec_u32)c & 0xfffff000); /* its square is exact */
    low = (c - high) * (c + high) * -0.5f;
    high = (dtype == KM_FLOAT32 ? high * high : c * c) * -0.5f;
    ISA(begin_exp)(h, &high, &low, dtype, 127 + 64);
    h->t = 1.0f / (c * TAIL_SCALE + 1.0f);
}

/* The first loop: for `activate` when `value`, else for `slope_of`. */
VEC_FN void ISA(begin)(ISA(begun) * h, const vec *x, km_dtype dtype, act_kind kind, bool value)
{
    vec z;

    if (kind == ACT_GELU) {
        ISA(begin_normal)(h, x, dtype);
        return;
    }
    ISA(sigmoid_argument)(&z, x, kind);
    if (value && ISA(wants_half_exp)(dtype, kind))
        ISA(begin_half_exp)(h, &z, dtype);
    else
        ISA(begin_decay)(h, &z, dtype);
}

/* The second. */
VEC_FN void ISA(go_on)(ISA(begun) * h, km_dtype dtype, act_kind kind, bool value)
{
    const vec r = h->e;
    vec p;

    if (dtype == KM_FLOAT32)
        ISA(polynomial)(&p, &r, exp_terms, TERMS(exp_terms));
    else
        ISA(polynomial)(&p, &r, exp_terms_16, TERMS(exp_terms_16));
    h->e = (p * (r * r) + r + 1.0f) * h->scale;
    if (kind == ACT_GELU) {
        ISA(polynomial)(&p, &h->t, tail_terms, TERMS(tail_terms));
        h->t *= p;
    } else if (!value || !ISA(wants_half_exp)(dtype, kind)) {
        h->e *= 0x1p-64f;
    }
}

/* Phi(x), its tail relatively as close as any other value. */
VEC_FN void ISA(normal_below)(vec *phi, const vec *x, const ISA(begun) * h)
{
    vec rest;

    *phi = h->e * h->t;
    rest = 1.0f - *phi;
    ISA(by_sign)(phi, x, phi, &rest);
}

/* y = act(x). The argument of a sigmoid has the sign of x. */
VEC_FN void ISA(activate)(vec *y, const vec *x, const ISA(begun) * h, km_dtype dtype, act_kind kind)
{
    vec b;

    if (kind == ACT_GELU) {
        ISA(normal_below)(&b, x, h);
        *y = *x * b;
    } else if (ISA(wants_half_exp)(dtype, kind)) {
        *y = *x * 0.5f / (h->e + 0.5f);
    } else {
        b = *x * h->e;
        ISA(by_sign)(&b, x, &b, x);
        *y = b / (h->e + 1.0f);
    }
}

/* slope = act'(x). A product with x comes before one that may overflow:
 * where the other factor is 0, a finite x gives 0. */
VEC_FN void ISA(slope_of)(vec *slope, const vec *x, const ISA(begun) * h, act_kind kind)
{
    vec a, b, s, q;

    if (kind == ACT_GELU) {
        ISA(normal_below)(&a, x, h);
        *slope = a + *x * (h->e * (0.3989422804f * 0x1p-64f));
        return;
    }
    q = 1.0f / (h->e + 1.0f);
    a = h->e * q;
    ISA(by_sign)(&s, x, &a, &q);
    b = *x * (a * q); /* a * q is sigmoid(z) * sigmoid(-z) */
    if (kind == ACT_QUICK_GELU)
        b *= QUICK;
    if (kind == ACT_GELU_TANH) {
        const vec large = ALL(1e10f);
        vec square = *x * *x;
        ISA(lesser)(&square, &square, &large);
        b *= square * (3 * TANH_CUBIC) + TANH_LINEAR;
    }
    *slope = s + b;
}
