#include <gtest/gtest.h>

#include <cmath>
#include <vector>

extern "C" {
#include "bench/random.h"
}

namespace
{

// The published generator: its first outputs from the state 1, 2, 3, 4.
TEST(Random, KnownSequence)
{
    km_random r = { { 1, 2, 3, 4 } };

    EXPECT_EQ(km_random_bits(&r), 41943041u);
    EXPECT_EQ(km_random_bits(&r), 58720359u);
    EXPECT_EQ(km_random_bits(&r), 3588806011781223u);
}

// A seed gives a sequence of its own, and the same one again.
TEST(Random, Seeds)
{
    km_random a, b, c;

    km_random_seed(&a, 1);
    km_random_seed(&b, 1);
    km_random_seed(&c, 2);
    uint64_t first = km_random_bits(&a);
    EXPECT_EQ(first, km_random_bits(&b));
    EXPECT_NE(first, km_random_bits(&c));
    EXPECT_NE(km_random_fresh_seed(), km_random_fresh_seed());
}

// Inputs with another mean or width would hide or invent errors.
TEST(Random, Moments)
{
    const size_t n = 100001; /* odd: the last pair is cut */
    std::vector<double> v(n);
    double sum = 0, squares = 0, fourth = 0;
    km_random r;

    km_random_seed(&r, 5);
    km_random_normals(&r, v.data(), n);
    for (double x : v) {
        ASSERT_TRUE(std::isfinite(x));
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    EXPECT_NEAR(sum / n, 0, 0.015);
    EXPECT_NEAR(squares / n, 1, 0.02);
    EXPECT_NEAR(fourth / n, 3, 0.15);
    for (int i = 0; i < 100000; i++) {
        double u = km_random_unit(&r);
        ASSERT_TRUE(u >= 0 && u < 1);
    }
}

// Every order of four comes equally often: a favoured first place is a bias of the comparison.
TEST(Random, Orders)
{
    std::vector<int> seen(256);
    km_random r;

    km_random_seed(&r, 9);
    for (int i = 0; i < 24000; i++) {
        size_t items[] = { 0, 1, 2, 3 };
        km_random_shuffle(&r, items, 4);
        seen[items[0] * 64 + items[1] * 16 + items[2] * 4 + items[3]]++;
    }
    int orders = 0;
    for (int count : seen) {
        orders += count > 0;
        EXPECT_TRUE(count == 0 || (count > 850 && count < 1150)) << count;
    }
    EXPECT_EQ(orders, 24);
}

} // namespace
