#include <gtest/gtest.h>

#include <cmath>
#include <vector>

extern "C" {
#include "bench/trace_rule.h"
}

namespace
{

const double inf = INFINITY;

km_rule_sum sum(km_trace_format format, const km_trace_bounds &b, const std::vector<double> &got,
                const std::vector<double> &want)
{
    km_rule_sum s = {};

    km_rule_add(&s, format, &b, got.data(), want.data(), got.size());
    return s;
}

bool holds(km_trace_format format, const km_trace_bounds &b, const std::vector<double> &got,
           const std::vector<double> &want)
{
    km_rule_sum s = sum(format, b, got, want);

    return km_rule_holds(&s, format, &b);
}

// FlashInfer takes an element by either error, SOL by their sum: each has elements that the other
// refuses.
TEST(TraceRule, WhatIsInBounds)
{
    km_trace_bounds b = { 0.01, 0.01, 1, 0, false };

    EXPECT_TRUE(holds(KM_TRACE_FLASHINFER, b, { 0.009 }, { 0 }));
    EXPECT_TRUE(holds(KM_TRACE_FLASHINFER, b, { 100.9 }, { 100 }));
    EXPECT_FALSE(holds(KM_TRACE_FLASHINFER, b, { 1.015 }, { 1 }));
    EXPECT_TRUE(holds(KM_TRACE_SOL, b, { 1.015 }, { 1 }));
    EXPECT_FALSE(holds(KM_TRACE_SOL, b, { 1.021 }, { 1 }));
    EXPECT_FALSE(holds(KM_TRACE_SOL, b, { 0.02 }, { 0 }));
}

// A share may be out of bounds, but no element beyond the cap.
TEST(TraceRule, ShareAndCap)
{
    km_trace_bounds b = { 0.01, 0.01, 0.75, 0, false };
    std::vector<double> want = { 1, 1, 1, 1 };
    km_rule_sum s = sum(KM_TRACE_SOL, b, { 1, 1, 1, 9 }, want);

    EXPECT_EQ(km_rule_matched(&s), 0.75);
    EXPECT_EQ(s.max_absolute, 8);
    EXPECT_TRUE(km_rule_holds(&s, KM_TRACE_SOL, &b));
    EXPECT_FALSE(holds(KM_TRACE_SOL, b, { 1, 1, 9, 9 }, want));
    b.cap = 5;
    EXPECT_FALSE(km_rule_holds(&s, KM_TRACE_SOL, &b));
}

// What is not finite is wrong, even where the reference has the same, but for -inf where it is
// allowed.
TEST(TraceRule, WhatIsNotFinite)
{
    km_trace_bounds b = { 0.01, 0.01, 0.5, 0, false };

    for (km_trace_format format : { KM_TRACE_FLASHINFER, KM_TRACE_SOL }) {
        EXPECT_FALSE(holds(format, b, { 1, 1, NAN }, { 1, 1, 1 }));
        EXPECT_FALSE(holds(format, b, { 1, 1, inf }, { 1, 1, inf }));
        EXPECT_FALSE(holds(format, b, { 1, 1, 1 }, { 1, 1, inf }));
        EXPECT_FALSE(holds(format, b, { 1, 1, -inf }, { 1, 1, -inf }));
    }
    b.allow_negative_inf = true;
    EXPECT_TRUE(holds(KM_TRACE_SOL, b, { 1, 1, -inf }, { 1, 1, -inf }));
    EXPECT_FALSE(holds(KM_TRACE_SOL, b, { 1, 1, -inf }, { 1, 1, 0 }));
    EXPECT_FALSE(holds(KM_TRACE_SOL, b, { 1, 1, inf }, { 1, 1, inf }));
}

// Zeros are within a tolerance of small results, and no result; nothing at all is right.
TEST(TraceRule, ZerosAndNothing)
{
    km_trace_bounds b = { 0.01, 0.01, 1, 0, false };

    EXPECT_TRUE(holds(KM_TRACE_FLASHINFER, b, { 0, 0 }, { 0.001, 0.001 }));
    EXPECT_FALSE(holds(KM_TRACE_SOL, b, { 0, 0 }, { 0.001, 0.001 }));
    EXPECT_TRUE(holds(KM_TRACE_SOL, b, { 0, 0 }, { 0, 0 }));
    EXPECT_TRUE(holds(KM_TRACE_SOL, b, {}, {}));
    EXPECT_TRUE(holds(KM_TRACE_FLASHINFER, b, {}, {}));
}

} // namespace
