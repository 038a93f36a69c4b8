#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

extern "C" {
#include "bench/dtype.h"
}

namespace
{

const int FLOAT16 = km_dtype_named("float16"), BFLOAT16 = km_dtype_named("bfloat16");

double widened(int d, uint16_t bits)
{
    double out;

    km_dtype_widen(d, &bits, &out, 1);
    return out;
}

uint16_t narrowed(int d, double value)
{
    uint16_t out;

    km_dtype_narrow(d, &value, &out, 1);
    return out;
}

// Every one of the 65536 patterns comes back, and a value between two goes to the nearer, at the
// middle to the even one.
TEST(Dtype, RoundsToNearestEven)
{
    for (int d : { FLOAT16, BFLOAT16 })
        for (unsigned bits = 0; bits < 0x8000; bits++) {
            double v = widened(d, (uint16_t)bits), next = widened(d, (uint16_t)(bits + 1));
            if (std::isnan(v))
                continue;
            ASSERT_EQ(narrowed(d, v), bits) << d;
            ASSERT_EQ(narrowed(d, -v), bits | 0x8000);
            if (!std::isfinite(v) || !std::isfinite(next))
                continue;
            double middle = (v + next) / 2;
            ASSERT_EQ(narrowed(d, middle), bits + (bits & 1)) << d << ", " << bits;
            ASSERT_EQ(narrowed(d, std::nextafter(middle, 0)), bits);
            ASSERT_EQ(narrowed(d, std::nextafter(middle, 1e300)), bits + 1);
        }
}

// Beyond the largest there is infinity, from half a step on; NaN stays NaN.
TEST(Dtype, Ends)
{
    EXPECT_EQ(narrowed(FLOAT16, 65519.99), 0x7bff);
    EXPECT_EQ(narrowed(FLOAT16, 65520), 0x7c00);
    EXPECT_EQ(narrowed(FLOAT16, 1e300), 0x7c00);
    EXPECT_EQ(narrowed(FLOAT16, 0x1p-25), 0); /* half of the smallest: to even */
    EXPECT_EQ(narrowed(FLOAT16, 0x1.1p-25), 1);
    EXPECT_EQ(narrowed(BFLOAT16, 0x1.fep127), 0x7f7f);
    EXPECT_EQ(narrowed(BFLOAT16, 0x1.ffp127), 0x7f80);
    for (int d : { FLOAT16, BFLOAT16 }) {
        EXPECT_TRUE(std::isnan(widened(d, narrowed(d, NAN))));
        EXPECT_EQ(widened(d, narrowed(d, -INFINITY)), -INFINITY);
        EXPECT_EQ(1 + km_dtype_epsilon(d), widened(d, (uint16_t)(narrowed(d, 1) + 1)));
    }
}

// float32 and the compiler's own conversions agree; integers go both ways.
TEST(Dtype, OtherTypes)
{
    std::mt19937_64 rng(3);
    double v = 0, back = 0;
    float f;
    int64_t i;
    int8_t small;

    for (int n = 0; n < 10000; n++) {
        v = std::ldexp(std::normal_distribution<>()(rng), (int)(rng() % 200) - 100);
        km_dtype_narrow(km_dtype_named("float32"), &v, &f, 1);
        ASSERT_EQ(f, (float)v);
    }
    v = -9007199254740991.0;
    km_dtype_narrow(km_dtype_named("int64"), &v, &i, 1);
    km_dtype_widen(km_dtype_named("int64"), &i, &back, 1);
    EXPECT_EQ(back, v);
    v = -100.7;
    km_dtype_narrow(km_dtype_named("int8"), &v, &small, 1);
    EXPECT_EQ(small, -100);
    EXPECT_NE(FLOAT16, BFLOAT16);
    EXPECT_EQ(km_dtype_named("bf16"), 0);
    EXPECT_EQ(km_dtype_named("an unsupported dtype"), 0);
}

} // namespace
