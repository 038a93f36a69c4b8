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

/* (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2; exp's relative error is 3e-9. */
static const float exp_terms[] = { 0.4999999404f, 0.1666651964f, 0.0416684076f, 0.0083689215f,
                                   0.0013814170f };

/* exp(x^2 / 2) * Phi(-x) / t in t = 1 / (1 + 0.35 * x), for 0 <= x <= 16; relative error 4e-8. */
#define TAIL_SCALE 0.35f
#define TAIL_END   16.0f
static const float tail_terms[] = { 0.13962124288f,  0.13986453414f, 0.11981413513f,
                                    0.10558003187f,  -0.0232758559f, 0.15940992534f,
                                    -0.25591641665f, 0.14406770468f, -0.02916531637f };
#define TERMS(list) ((int)(sizeof(list) / sizeof(list)[0]))
#endif

VEC_FN void ISA(polynomial)(vec *out, const vec *x, const float *terms, int count)
{
    vec p = ALL(terms[count - 1]);

    for (int i = count - 2; i >= 0; i--)
        p = p * *x + terms[i];
    *out = p;
}

VEC_FN void ISA(select)(vec *out, const vec_i32 *mask, const vec *yes, const vec *no)
{
    *out = (vec)VEC_SELECT(*mask, (vec_u32)*yes, (vec_u32)*no);
}

/* exp(high + low), for a small low. NaN stays. log(2) in two parts (Cody and Waite, 1980); the
 * scale in two steps, so that results below 2^-126 come out right. */
VEC_FN void ISA(exp_of)(vec *out, const vec *high, const vec *low)
{
    const vec end = ALL(104.0f), magic = ALL(0x1.8p23f); /* exp(-104) is 0, exp(104) infinite */
    vec_i32 below = *high<-end, above = *high> end, exponent, half;
    vec x = -end, n, r, p;

    ISA(select)(&x, &below, &x, high);
    ISA(select)(&x, &above, &end, &x);
    n = x * 0x1.715476p0f + magic; /* its low bits: x / log(2) to the nearest integer */
    exponent = (vec_i32)n - (vec_i32)magic;
    n -= magic;
    r = (x - n * 0x1.62e4p-1f) + (*low - n * 0x1.7f7d1cp-20f);
    ISA(polynomial)(&p, &r, exp_terms, TERMS(exp_terms));
    p = p * (r * r) + r + 1.0f;
    half = exponent >> 1;
    p *= (vec)((half + 127) << 23);
    *out = p * (vec)((exponent - half + 127) << 23);
}

VEC_FN void ISA(magnitude)(vec *out, const vec *x)
{
    *out = (vec)((vec_u32)*x & 0x7fffffff);
}

/* The argument of the sigmoid, for the kinds that have one. */
VEC_FN void ISA(sigmoid_argument)(vec *z, const vec *x, act_kind kind)
{
    if (kind == ACT_GELU_TANH)
        *z = *x * (*x * *x * TANH_CUBIC + TANH_LINEAR);
    else
        *z = kind == ACT_QUICK_GELU ? *x * QUICK : *x;
}

/* exp(-|z|), at most 1: no overflow on either side. */
VEC_FN void ISA(decay)(vec *a, const vec *z)
{
    const vec none = { 0 };
    vec m;

    ISA(magnitude)(&m, z);
    m = -m;
    ISA(exp_of)(a, &m, &none);
}

/* Phi(-|x|), relatively as close as any other value, and exp(-x^2 / 2). */
VEC_FN void ISA(normal_tail)(vec *tail, vec *e, const vec *x)
{
    const vec end = ALL(TAIL_END);
    vec c, t, p, high, low;
    vec_i32 beyond;

    ISA(magnitude)(&c, x);
    beyond = c > end;
    ISA(select)(&c, &beyond, &end, &c);
    high = (vec)((vec_u32)c & 0xfffff000); /* its square is exact */
    low = (c - high) * (c + high) * -0.5f;
    high = high * high * -0.5f;
    ISA(exp_of)(e, &high, &low);
    t = 1.0f / (c * TAIL_SCALE + 1.0f);
    ISA(polynomial)(&p, &t, tail_terms, TERMS(tail_terms));
    *tail = *e * (t * p);
}

/* y = act(x). silu and quick_gelu in float32 have a rounding less and give 0 where exp(-z)
 * overflows, as torch's do; gelu_tanh gets there at -10, and 16-bit types round anyway. */
VEC_FN void ISA(activate)(vec *y, const vec *x, km_dtype dtype, act_kind kind)
{
    const vec none = { 0 };
    vec a, b, z;
    vec_i32 negative;

    if (kind == ACT_GELU) {
        ISA(normal_tail)(&a, &z, x);
        b = 1.0f - a;
        negative = *x < 0.0f;
        ISA(select)(&a, &negative, &a, &b);
        *y = *x * a;
        return;
    }
    ISA(sigmoid_argument)(&z, x, kind);
    if (dtype == KM_FLOAT32 && kind != ACT_GELU_TANH) {
        z = -z;
        ISA(exp_of)(&a, &z, &none);
        *y = *x / (a + 1.0f);
        return;
    }
    ISA(decay)(&a, &z);
    b = *x * a;
    negative = z < 0.0f;
    ISA(select)(&b, &negative, &b, x);
    *y = b / (a + 1.0f);
}

/* slope = act'(x). A product with x comes before one that may overflow: where the other factor is
 * 0, a finite x gives 0. */
VEC_FN void ISA(slope_of)(vec *slope, const vec *x, act_kind kind)
{
    vec a, b, z, s, q;
    vec_i32 negative;

    if (kind == ACT_GELU) {
        ISA(normal_tail)(&a, &z, x);
        b = 1.0f - a;
        negative = *x < 0.0f;
        ISA(select)(&a, &negative, &a, &b);
        *slope = a + *x * (z * 0.3989422804f);
        return;
    }
    ISA(sigmoid_argument)(&z, x, kind);
    ISA(decay)(&a, &z);
    q = 1.0f / (a + 1.0f);
    a *= q;
    negative = z < 0.0f;
    ISA(select)(&s, &negative, &a, &q);
    b = *x * (a * q); /* a * q is sigmoid(z) * sigmoid(-z) */
    if (kind == ACT_QUICK_GELU)
        b *= QUICK;
    if (kind == ACT_GELU_TANH) {
        const vec large = ALL(1e10f);
        vec square = *x * *x;
        vec_i32 beyond = square > large;
        ISA(select)(&square, &beyond, &large, &square);
        b *= square * (3 * TANH_CUBIC) + TANH_LINEAR;
    }
    *slope = s + b;
}
