// bench/judge.h: which rounds count, and what is said of those that do.
#include <gtest/gtest.h>

#include <vector>

extern "C" {
#include "bench/judge.h"
}

namespace
{

// Twenty rounds of a call that takes `us`, within a thousandth.
std::vector<double> rounds(double us)
{
    std::vector<double> out;
    for (int i = 0; i < 20; i++)
        out.push_back(us * (1 + (i % 5 - 2) * 0.0005));
    return out;
}

km_column column(std::vector<double> &samples)
{
    km_column c = {};
    c.samples_us = samples.data();
    return c;
}

TEST(Judge, RoundsInWhichTheYardstickMovedAreDiscarded)
{
    std::vector<double> yardstick = rounds(10);
    bool discarded[20];
    yardstick[3] *= 1.05;
    yardstick[7] *= 0.9;
    EXPECT_EQ(km_judge_discard(yardstick.data(), 20, 0.02, discarded), 18u);
    for (int i = 0; i < 20; i++)
        EXPECT_EQ(discarded[i], i == 3 || i == 7) << i;
    EXPECT_EQ(km_judge_discard(yardstick.data(), 20, 0.2, discarded), 20u);
    EXPECT_EQ(km_judge_discard(nullptr, 20, 0.02, discarded), 20u);
}

TEST(Judge, DiscardedRoundsSayNothing)
{
    std::vector<double> first = rounds(10), second = rounds(8);
    bool discarded[20] = {};
    for (int i : { 1, 2, 5, 11 }) {
        second[(size_t)i] = 1000;
        discarded[i] = true;
    }
    km_column a = column(first), b = column(second);
    km_judge(&a, nullptr, discarded, 20, 0.01);
    km_judge(&b, &a, discarded, 20, 0.01);
    EXPECT_NEAR(a.median_us, 10, 0.01);
    EXPECT_NEAR(b.median_us, 8, 0.01);
    EXPECT_EQ(b.ratio.rounds, 16u);
    EXPECT_EQ(b.verdict, KM_FASTER);
    EXPECT_EQ(a.ratio.rounds, 0u); // the first has no ratio
}

TEST(Judge, TheMarginDecidesWhatADifferenceIs)
{
    std::vector<double> first = rounds(10), second = rounds(10.1);
    km_column a = column(first), b = column(second);
    km_judge(&b, &a, nullptr, 20, 0.005);
    EXPECT_EQ(b.verdict, KM_SLOWER);
    km_judge(&b, &a, nullptr, 20, 0.03);
    EXPECT_EQ(b.verdict, KM_SAME);
}

TEST(Judge, WhatWasNotMeasuredHasNoVerdict)
{
    std::vector<double> first = rounds(10);
    km_column a = column(first), nothing = {};
    km_judge(&nothing, &a, nullptr, 20, 0.01);
    EXPECT_EQ(nothing.median_us, 0);
    km_judge(&a, &nothing, nullptr, 20, 0.01);
    EXPECT_EQ(a.ratio.rounds, 0u);
    EXPECT_EQ(a.verdict, KM_UNDECIDED);
}

} // namespace
